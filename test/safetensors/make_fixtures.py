"""Makes dtypes.safetensors (one small tensor of every dtype, written by Python) and dtypes.json (what is in it).

    pip install torch==2.13.0 safetensors==0.8.0
"""
import hashlib
import json
import os

import torch
from safetensors import safe_open
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
          torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
          torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu]

torch.manual_seed(5)
tensors = {}
for i, dtype in enumerate(DTYPES):
    size = torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (2, 3 * size), dtype=torch.uint8)
    # Names in no order, so that the order of the file is the format's own.
    tensors[f"{'zyx'[i % 3]}.{str(dtype).split('.')[1]}"] = raw.view(dtype)
path = os.path.join(HERE, "dtypes.safetensors")
save_file(tensors, path, {"format": "pt"})
os.chmod(path, 0o644)
entries = []
with safe_open(path, "pt") as f:
    for name in f.keys():
        part = f.get_slice(name)
        data = f.get_tensor(name).contiguous().view(torch.uint8).numpy().tobytes()
        entries.append({"name": name, "dtype": part.get_dtype(), "shape": part.get_shape(),
                        "sha256": hashlib.sha256(data).hexdigest()})
with open(path, "rb") as f:
    digest = hashlib.sha256(f.read()).hexdigest()
with open(os.path.join(HERE, "dtypes.json"), "w") as f:
    json.dump({"file": digest, "tensors": entries}, f, indent=1)
    f.write("\n")
