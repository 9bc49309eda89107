"""The peers of bench/cuda.ts: loops over Transformers' Llama, as users write them: bfloat16 autocast (or bfloat16 weights and
moments), SDPA, fused AdamW, clipping; with Liger's kernels, compiled, or both. Reads one JSON argument, prints one line of
JSON."""

import json
import sys
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

size = json.loads(sys.argv[1])
peer = size["peer"].split("+")
torch.manual_seed(0)
config = AutoConfig.from_pretrained(size["folder"])
if "liger" in peer:
    from liger_kernel.transformers import apply_liger_kernel_to_llama

    apply_liger_kernel_to_llama()
dtype = getattr(torch, size["dtype"])
with torch.device("cuda"):
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=dtype)
model.train()
model.config.use_cache = False
if "checkpointing" in peer:
    model.gradient_checkpointing_enable()
run = torch.compile(model) if "compile" in peer else model
optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
ids = torch.randint(0, config.vocab_size, (size["batch"], size["seqLen"]), device="cuda")
times = []
for step in range(2 + size["steps"]):
    if step == 2:
        torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.float32):
        loss = run(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    loss.item()
    torch.cuda.synchronize()
    times.append(1000 * (time.perf_counter() - begin))
print(json.dumps({"step_ms": times[2:], "peak_mb": torch.cuda.max_memory_allocated() / 2**20}))
