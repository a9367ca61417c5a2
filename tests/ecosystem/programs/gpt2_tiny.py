"""transformers: a tiny GPT-2, its loss, AdamW steps, greedy and beam search, saving and loading."""

import tempfile

import torch
from common import digest, fixed, report
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
config = GPT2Config(
    vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1,
    resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
)  # fmt: skip
model = fixed(GPT2LMHeadModel(config), gain=2.0)
model.eval()
ids = (torch.arange(24).reshape(2, 12) * 7 + 3) % 97
with torch.no_grad():
    out = model(ids, labels=ids)
results = {"loss": out.loss.item(), "logits": digest(out.logits), "last": out.logits[0, -1].tolist()}

model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
losses = []
for _ in range(8):
    optimizer.zero_grad()
    loss = model(ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
results["losses"] = losses
model.eval()
prompt = ids[:, :5]
results["greedy"] = model.generate(prompt, max_new_tokens=10, do_sample=False, pad_token_id=1).tolist()
results["beam"] = model.generate(prompt, max_new_tokens=10, num_beams=3, do_sample=False, pad_token_id=1).tolist()
torch.manual_seed(1)
results["sampled"] = model.generate(prompt, max_new_tokens=10, do_sample=True, top_k=20, pad_token_id=1).tolist()
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    again = GPT2LMHeadModel.from_pretrained(folder)
with torch.no_grad():
    results["reloaded"] = (again(ids).logits - model(ids).logits).abs().max().item()
report(**results)
