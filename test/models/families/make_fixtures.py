"""Makes the expected values beside it: each family's tiny model in Transformers, with the switches of its config on.

Written with torch==2.13.0, transformers==5.24.0, numpy==2.4.6.
usage: python make_fixtures.py [NAME ...]

Weights are a hash of their names and places (`values`), so that no file holds them; of gradients and logits a few sums
with hashed factors are kept (`probes`): any other tensor would have other sums.
"""

import copy
import gzip
import json
import pathlib
import sys
import tempfile
import zlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.utils import logging

logging.set_verbosity_error()
torch.set_num_threads(1)
here = pathlib.Path(__file__).parent
common = dict(
    vocab_size=112,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
families = json.loads((here / "families.json").read_text())
documents = [[(7 * i * i + 13 * i + 5) % 109 + 3 for i in range(n)] for n in (23, 17)]
# Positions before these aren't trained: the label of position t is token t + 1.
untrained = [9, 4]
prompts = [documents[0][:5], documents[1][:11]]
new_tokens = 32
lr, eps, weight_decay, steps = 3e-3, 1e-3, 0.1, 6


def hashed(seed, n):
    """Numbers in [-1, 1), the same in fixture.ts."""
    x = np.arange(n, dtype=np.uint64) + np.uint64(seed)
    mask = np.uint64(0xFFFFFFFF)
    x = (x * np.uint64(2654435761)) & mask
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & mask
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 2**31 - 1


def values(name, shape, center, spread):
    flat = center + spread * hashed(zlib.crc32(name.encode()), int(np.prod(shape)))
    return torch.from_numpy(flat.astype(np.float32).reshape(shape))


def probes(tensor, count):
    flat = tensor.detach().double().numpy().reshape(-1)
    sums = [float(flat @ hashed(1000003 * (k + 1), flat.size)) for k in range(count)]
    return [float(np.sqrt((flat**2).sum())), *sums]


def loss_of(model):
    found = [model(torch.tensor([one]), use_cache=False).logits[0] for one in documents]
    labels = []
    for one, skip in zip(documents, untrained):
        wanted = torch.full((len(one),), -100)
        wanted[skip:-1] = torch.tensor(one[skip + 1 :])
        labels.append(wanted)
    logits = torch.cat(found)
    return logits, torch.nn.functional.cross_entropy(logits.double(), torch.cat(labels), ignore_index=-100)


def saved(model, folder):
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def make(name, changes):
    offset = changes.pop("norms_around", 1)
    if "text_config" in changes:
        changes["text_config"] = {**common, **changes["text_config"]}
    else:
        changes = {**common, **changes}
    config = AutoConfig.for_model(changes.pop("model_type"), **changes)
    auto = AutoModelForImageTextToText if "text_config" in changes else AutoModelForCausalLM
    plain = dict(attn_implementation="eager", dtype=torch.float32)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        model = auto.from_config(config, **plain)
        weights = []
        for key, tensor in saved(model, folder).items():
            is_norm = "norm" in key and tensor.dim() == 1 and not key.endswith("bias")
            weights.append([key, list(tensor.shape), offset if is_norm else 0, 0.2 if is_norm else 0.35])
        save_file({one[0]: values(*one) for one in weights}, folder / "model.safetensors", metadata={"format": "pt"})
        model = auto.from_pretrained(folder, experts_implementation="eager", **plain).eval()
        model.get_input_embeddings().padding_idx = None
        # As text: 3.0 is a float there, and 3 is none for Transformers.
        config_text = (folder / "config.json").read_text()
        answers = []
        for prompt in prompts:
            out = model.generate(
                torch.tensor([prompt]), max_new_tokens=new_tokens, do_sample=False, eos_token_id=None, pad_token_id=0
            )
            answers.append(out[0, len(prompt) :].tolist())
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, eps=eps, weight_decay=weight_decay)
        losses, first = [], None
        for step in range(steps):
            optimizer.zero_grad()
            logits, loss = loss_of(model)
            loss.backward()
            losses.append(loss.item())
            if step == 0:
                with torch.no_grad():
                    other = copy.deepcopy(model)
                    for (key, parameter), mine in zip(other.named_parameters(), model.parameters()):
                        parameter.copy_(torch.zeros_like(mine) if mine.grad is None else mine.grad)
                    for buffer in other.buffers():
                        buffer.zero_()
                    gradients = saved(other, folder)
                first = dict(
                    logits=[probes(row, 2) for row in logits],
                    gradients={key: probes(tensor, 4) for key, tensor in gradients.items()},
                )
            optimizer.step()
    facts = dict(
        configText=config_text,
        weights=weights,
        documents=documents,
        untrained=untrained,
        prompts=prompts,
        answers=answers,
        optimizer=dict(lr=lr, eps=eps, weightDecay=weight_decay),
        losses=losses,
        **first,
    )
    text = json.dumps(facts, separators=(",", ":")).encode()
    (here / f"{name}.json.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    print(name, losses, answers[0][:8], file=sys.stderr)


for name, changes in families.items():
    if not sys.argv[1:] or name in sys.argv[1:]:
        make(name, changes)
