"""Loads a folder that `forge sft` saved in Transformers, and compares its logits with ours.

Written with torch==2.13.0, transformers==5.23.0, numpy==2.4.6. See README.md in this folder.
usage: python transformers_check.py FOLDER LOGITS.json   (LOGITS.json from logits.ts)
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, path = sys.argv[1:]
ours = json.load(open(path))
model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = tokenizer(ours["text"], add_special_tokens=False)["input_ids"]
assert ids == ours["ids"], (ids, ours["ids"])
messages = [{"role": "user", "content": ours["text"]}]
assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == ours["chat"]
with torch.no_grad():
    logits = model(torch.tensor([ids])).logits[0]
worst = (logits - torch.tensor(ours["logits"])).abs().max().item()
scale = logits.abs().max().item()
print(f"{len(ids)} tokens, largest logit {scale:.3f}, largest difference {worst:.2e}")
assert worst <= 1e-5 * max(1, scale)
