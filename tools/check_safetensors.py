"""Says what the safetensors package makes of files: one JSON line each.

usage: python tools/check_safetensors.py FILE...
prints {"file", "ok", "tensors": {name: {"dtype", "shape"}}, "metadata"} or {"file", "ok": false, "error"}
"""

import json
import sys

from safetensors import safe_open


def verdict(path):
    """Opens a file and reads every tensor of it."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {}
            for name in file.keys():
                piece = file.get_slice(name)
                assert list(file.get_tensor(name).shape) == piece.get_shape(), name
                tensors[name] = {"dtype": piece.get_dtype(), "shape": piece.get_shape()}
            return {"file": path, "ok": True, "tensors": tensors, "metadata": file.metadata()}
    except Exception as error:
        return {"file": path, "ok": False, "error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps(verdict(path)), flush=True)
