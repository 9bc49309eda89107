"""Loads in Transformers what export.ts exported, and compares logits.

Written with torch==2.13.0, transformers==5.24.0.
usage: python check_exports.py DIR
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.utils import logging

logging.set_verbosity_error()
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    if not (folder / "logits.json").exists():
        continue
    ours = json.loads((folder / "logits.json").read_text())
    has_text = "text_config" in json.loads((folder / "config.json").read_text())
    auto = AutoModelForImageTextToText if has_text else AutoModelForCausalLM
    model, info = auto.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), (folder, info)
    with torch.no_grad():
        logits = model.eval()(torch.tensor([ours["document"]])).logits[0]
    worst = (logits - torch.tensor(ours["logits"])).abs().max().item()
    scale = logits.abs().max().item()
    print(f"{folder.name}: largest logit {scale:.3f}, largest difference {worst:.2e}")
    assert worst <= 1e-5 * max(1, scale), folder
