"""Makes fused.safetensors and fused.json: inputs, outputs and gradients of what each fused operator stands for,
computed by PyTorch's own operators, for fused.test.ts beside it.

    pip install torch==2.13.0 safetensors==0.8.0 numpy
    python make_fixtures.py

The reference is computed in float64 from the stored inputs (which are float32 or bfloat16) and stored in float32: an
operator is held to the true value, and the tolerance is its own rounding. Gradients are those for a stored, random
gradient of each output.
"""
import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(11)
tensors, cases = {}, []


def add(op, dtype, inputs, reference, params=None, layout=None, fixed=None):
    """inputs: name -> float64 tensor that gets a gradient; fixed: name -> tensor that gets none."""
    key = f"{len(cases)}"
    leaves = {}
    for name, value in inputs.items():
        stored = value.to(dtype)
        tensors[f"{key}.{name}"] = stored.contiguous()
        leaves[name] = stored.double().requires_grad_()
    for name, value in (fixed or {}).items():
        tensors[f"{key}.{name}"] = value.contiguous()
    given = {n: v.double() if v.is_floating_point() else v for n, v in (fixed or {}).items()}
    outputs = reference(**leaves, **given)
    grads = []
    for i, out in enumerate(outputs):
        grad = torch.randn(out.shape, dtype=torch.double)
        # Losses come as float32 whatever the inputs are; other outputs are of the inputs' dtype.
        grad = grad.float() if op == "linearCrossEntropy" else grad.to(dtype)
        tensors[f"{key}.out{i}"] = out.detach().float().contiguous()
        tensors[f"{key}.gradOut{i}"] = grad
        grads.append(grad.double())
    found = torch.autograd.grad(outputs, list(leaves.values()), grads)
    for name, grad in zip(leaves, found):
        tensors[f"{key}.grad.{name}"] = grad.float().contiguous()
    cases.append({"op": op, "dtype": str(dtype).removeprefix("torch."), "inputs": list(inputs), "fixed": list(fixed or {}),
                  "outputs": len(outputs), "params": params or {}, "layout": layout or "contiguous"})


def rand(*shape):
    return torch.randn(*shape, dtype=torch.double)


def rms(input, weight=None, eps=1e-5):
    y = input * torch.rsqrt(input.pow(2).mean(-1, keepdim=True) + eps)
    return (y if weight is None else y * weight,)


def rotary(query, key, cos, sin, positionIds=None):
    rows = torch.arange(query.shape[1]) if positionIds is None else positionIds.long()
    c, s, half = cos[rows].unsqueeze(-2), sin[rows].unsqueeze(-2), cos.shape[1]

    def turn(x):
        rotated = x[..., : 2 * half]
        swapped = torch.cat([-rotated[..., half:], rotated[..., :half]], -1)  # rotate_half of Transformers
        return torch.cat([rotated * torch.cat([c, c], -1) + swapped * torch.cat([s, s], -1), x[..., 2 * half:]], -1)

    return turn(query), turn(key)


for dtype in (torch.float32, torch.bfloat16):
    # Layouts: the test makes the input non-contiguous before the call ("transposed": stored with dimensions 0 and 1
    # exchanged; "sliced": a slice of something wider), so that strided kernels see the same values.
    for shape, layout in (((3, 5, 33), None), ((2, 64), None), ((1, 2), None), ((0, 7), None), ((4, 3, 17), "transposed"),
                          ((2, 3, 50), "sliced")):
        add("rmsNorm", dtype, {"input": rand(*shape), "weight": rand(shape[-1])}, rms, {"eps": 1e-5}, layout)
        add("addRmsNorm", dtype, {"input": rand(*shape), "residual": rand(*shape), "weight": rand(shape[-1])},
            lambda input, residual, weight: (*rms(input + residual, weight), input + residual), {"eps": 1e-5}, layout)
        add("swiglu", dtype, {"gate": 3 * rand(*shape), "up": rand(*shape)},
            lambda gate, up: (F.silu(gate) * up,), None, layout)
        add("swigluJoined", dtype, {"joined": rand(*shape[:-1], 2 * shape[-1])},
            lambda joined: (F.silu(joined.chunk(2, -1)[0]) * joined.chunk(2, -1)[1],), None, layout)
    add("rmsNorm", dtype, {"input": rand(6, 40)}, rms, {"eps": 1e-5})
    for (b, t, h, k, d, half), positions, layout in (
            ((2, 5, 3, 1, 16, 8), "batch", None), ((1, 7, 2, 2, 6, 3), "row", None), ((2, 3, 4, 2, 40, 12), None, None),
            ((0, 3, 2, 1, 8, 4), None, None), ((2, 4, 3, 1, 64, 32), "batch", "transposed"),
            ((1, 3, 2, 1, 10, 5), "row", "sliced")):
        angles = torch.rand(9, half) * 6
        fixed = {"cos": angles.cos(), "sin": angles.sin()}
        if positions == "batch":
            fixed["positionIds"] = torch.randint(0, 9, (b, t))
        elif positions == "row":
            fixed["positionIds"] = torch.randint(0, 9, (t,), dtype=torch.int32)
        add("rotaryEmbedding", dtype, {"query": rand(b, t, h, d), "key": rand(b, t, k, d)}, rotary, None, layout, fixed)
    for (t, d, v), part, chunk in (((9, 13, 61), 0.5, 0), ((9, 13, 61), 0.5, 64), ((9, 13, 61), 0.6, 61 * 16),
                                   ((130, 5, 70), 0.7, 70 * 64), ((3, 8, 1100), 1.0, 0), ((1, 1, 2), 1.0, 0),
                                   ((5, 6, 7), 0.0, 0), ((0, 6, 7), 1.0, 0)):
        labels = torch.randint(0, v, (t,))
        labels[torch.rand(t) >= part] = -100

        def loss(hidden, weight, labels):
            return (F.cross_entropy(hidden @ weight.t(), labels, ignore_index=-100, reduction="sum") * 0.5,)

        add("linearCrossEntropy", dtype, {"hidden": rand(t, d), "weight": rand(v, d)}, loss,
            {"chunkSize": chunk, "scale": 0.5}, None, {"labels": labels})

# Three steps of torch.optim.AdamW behind torch.nn.utils.clip_grad_norm_, in float32.
shapes = [(3, 5), (1,), (0,), (700,)]
params = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
for i, p in enumerate(params):
    tensors[f"adamw.param{i}"] = p.detach().clone()
optimizer = torch.optim.AdamW(params, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
norms = []
for step in range(1, 4):
    for i, p in enumerate(params):
        p.grad = torch.randn_like(p) * 0.3
        tensors[f"adamw.step{step}.grad{i}"] = p.grad.clone()
    norms.append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
    for i, p in enumerate(params):
        tensors[f"adamw.step{step}.clipped{i}"] = p.grad.clone()
    optimizer.step()
for i, p in enumerate(params):
    tensors[f"adamw.final{i}"] = p.detach().clone()

path = os.path.join(HERE, "fused.safetensors")
save_file({name: value.contiguous() for name, value in tensors.items()}, path)
os.chmod(path, 0o644)
with open(os.path.join(HERE, "fused.json"), "w") as f:
    json.dump({"torch": torch.__version__, "adamw": {"params": len(params), "steps": 3, "norms": norms}, "cases": cases}, f,
              indent=1)
    f.write("\n")
