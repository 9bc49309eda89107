"""Makes fixtures/quantized.safetensors: numbers, and what llama.cpp's own quantizers make of them.

    npm install --no-save @node-llama-cpp/linux-x64
    python3 test/gguf/make_quantized.py node_modules/@node-llama-cpp/linux-x64/bins/*/libggml-base.so

That library is llama.cpp's, as its authors' CI builds it. Needs numpy and safetensors. With a second argument N it makes N million
random numbers, to compare at length: `quantized-long.safetensors` in the current folder.
"""

import ctypes
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TYPES = {"Q4_0": (2, 32, 18), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34),
         "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210)}

library = ctypes.CDLL(sys.argv[1])
library.ggml_quantize_chunk.restype = ctypes.c_size_t
library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_int64, ctypes.c_void_p]


def quantize(x: np.ndarray, name: str) -> np.ndarray:
    number, elements, size = TYPES[name]
    out = np.zeros(x.size // elements * size, np.uint8)
    written = library.ggml_quantize_chunk(number, x.ctypes.data, out.ctypes.data, 0, x.shape[0], x.shape[1], None)
    assert written == out.size, (name, written, out.size)
    return out


def odd_rows(generator: np.random.Generator) -> np.ndarray:
    rows = generator.standard_normal((12, 512)).astype(np.float32)
    rows[1] *= 1e-4
    rows[2] = np.abs(rows[2])
    rows[3] = -np.abs(rows[3])
    rows[4, ::37] *= 1e3
    rows[5] = 0
    rows[6] = 0.25
    rows[7, :300] = 0
    rows[8] *= 1e-20
    rows[9] = np.round(rows[9] * 4) / 4
    rows[10] = np.linspace(-1, 1, 512)
    rows[11] *= np.exp(generator.standard_normal(512) * 3).astype(np.float32)
    return rows


generator = np.random.default_rng(7)
if len(sys.argv) > 2:
    x, path = generator.standard_normal((int(sys.argv[2]) * 1000, 1024)).astype(np.float32), Path("quantized-long.safetensors")
    x *= np.exp(generator.standard_normal((x.shape[0], 1)) * 4).astype(np.float32)
else:
    x, path = odd_rows(generator), Path(__file__).parent / "fixtures/quantized.safetensors"
save_file({"x": x, **{name: quantize(x, name) for name in TYPES}}, path)
