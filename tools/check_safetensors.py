"""Says what the safetensors package makes of files: one JSON line each.

usage: python tools/check_safetensors.py FILE...
prints {"file", "ok", "tensors": {name: {"dtype", "shape", "sha256"}}, "metadata"} or {"file", "ok": false, "error"};
the hash is that of a tensor's bytes.
"""

import hashlib
import json
import sys

import torch
from safetensors import safe_open


def verdict(path):
    """Opens a file and reads every tensor of it."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {}
            for name in file.keys():
                piece, tensor = file.get_slice(name), file.get_tensor(name)
                # PyTorch keeps two 4-bit values in one element.
                assert piece.get_dtype() == "F4" or list(tensor.shape) == piece.get_shape(), name
                content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                tensors[name] = {
                    "dtype": piece.get_dtype(), "shape": piece.get_shape(), "sha256": hashlib.sha256(content).hexdigest(),
                }
            return {"file": path, "ok": True, "tensors": tensors, "metadata": file.metadata()}
    except Exception as error:
        return {"file": path, "ok": False, "error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps(verdict(path)), flush=True)
