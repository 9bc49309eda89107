"""By hand: reads a checkpoint that several ranks saved with PyTorch's distributed checkpoint, and joins its files with
PyTorch's own tool.

    python test/parallel/dcp_check.py RUN/checkpoint/step-N     (needs torch 2.9 or later, and safetensors)

It ends with an error unless every tensor is what the files hold.
"""
import glob
import json
import os
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from torch.distributed.checkpoint import HuggingFaceStorageReader
from torch.distributed.checkpoint._consolidate_hf_safetensors import consolidate_safetensors_files

path = sys.argv[1]
metadata = HuggingFaceStorageReader(path).read_metadata()
state = {name: torch.empty(one.size, dtype=one.properties.dtype) for name, one in metadata.state_dict_metadata.items()}
dcp.load(state, storage_reader=HuggingFaceStorageReader(path), no_dist=True)

seen = {name: 0 for name in state}
for file in sorted(glob.glob(os.path.join(path, "*.safetensors"))):
    with safe_open(file, "pt") as opened:
        offsets = json.loads(opened.metadata()["DCP_SHARDING_INFO"])
        for name in opened.keys():
            part = opened.get_tensor(name)
            starts = offsets[name]["saved_offsets"]
            place = tuple(slice(start, start + size) for start, size in zip(starts, part.shape))
            assert torch.equal(state[name][place], part), f"{name} differs"
            seen[name] += part.numel()
for name, value in state.items():
    assert seen[name] == value.numel(), f"{name}: {seen[name]} of {value.numel()} values are there"
print(f"{len(state)} tensors read")

weights = {name: 1 for name in state if not name.endswith((".exp_avg", ".exp_avg_sq", ".step"))}
with tempfile.TemporaryDirectory() as folder:
    consolidate_safetensors_files(path, folder, fqn_to_index_mapping=weights)
    joined = 0
    for file in glob.glob(os.path.join(folder, "*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():
                assert torch.equal(opened.get_tensor(name), state[name]), f"{name} differs after joining"
                joined += 1
    assert joined == len(weights), f"{joined} of {len(weights)} weights were joined"
print(f"{len(weights)} weights joined")
