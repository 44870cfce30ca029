"""Writes files of torch.save, good and hostile, for the interop test of the reader of PyTorch files.

usage: python tools/check_torch.py OUT_DIR
prints a JSON list of {file, name, tensors}; `name` begins with a number of the list of hostile inputs (0: a good file);
`tensors` is {name: {dtype, shape, sha256}} for a dict that is to be read, null for a file that is to be refused.
Hostile files would write OUT_DIR/executed when they are loaded the unsafe way; one of them is, to show that they bite.
"""

import codecs
import collections
import hashlib
import io
import json
import os
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

warnings.filterwarnings("ignore")

import torch

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class Plain:
    """Pickles as an object of a class, with attributes."""

    def __init__(self):
        self.value = 1


def describe(values):
    """What the reader should make of a dict of tensors."""

    def one(tensor):
        content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "sha256": hashlib.sha256(content).hexdigest()}

    return {name: one(tensor) for name, tensor in values.items()}


def good():
    """Dicts of tensors that are read."""
    grid = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    halves = torch.arange(8, dtype=torch.float32)
    yield "dtypes", {str(dtype): torch.ones(2, 3).to(dtype) for dtype in DTYPES}
    yield "shapes", {"scalar": torch.tensor(3.0), "empty": torch.zeros(0, 4), "one": torch.ones(1), "cube": grid}
    yield "views", {"transposed": grid.transpose(0, 2), "slice": torch.arange(10.0)[2:7], "step": torch.arange(9.0)[::2]}
    yield "halves of one storage", {"a": halves[:4], "b": halves[4:]}
    yield "parameters", {"p": torch.nn.Parameter(torch.ones(2)), "q": torch.nn.Parameter(torch.ones(2), requires_grad=False)}
    yield "an OrderedDict", collections.OrderedDict(a=torch.ones(1))


def hostile(out):
    """Values that are refused."""
    mark = str(out / "executed")
    shared = torch.arange(4.0)
    itself = {"a": torch.ones(1)}
    itself["b"] = itself
    loop = []
    loop.append(loop)
    nested = []
    for _ in range(200):
        nested = [nested]
    laughs = "ha" * 10
    for _ in range(40):
        laughs = [laughs, laughs]
    yield "93 os.system", {"a": Call(os.system, f"touch {mark}")}
    yield "93 os.system in a key", {Call(os.system, f"touch {mark}"): torch.ones(1)}
    yield "94 eval", Call(eval, f"open({mark!r}, 'w')")
    yield "94 exec", Call(exec, f"open({mark!r}, 'w')")
    yield "94 getattr", Call(getattr, "x", "upper")
    yield "94 _codecs.encode", {"a": b"bytes"}
    yield "94 codecs.encode", Call(codecs.encode, "x", "rot13")
    yield "94 open", Call(open, mark, "w")
    yield "95 an object with attributes", {"a": Plain()}
    yield "95 a dict with attributes, as a module's state is", torch.nn.Linear(3, 2).state_dict()
    yield "95 a set", {"a": {1, 2}}
    yield "95 complex", {"a": 1j}
    yield "97 a list in itself", loop
    yield "97 a dict in itself", itself
    yield "97 a deep list", nested
    yield "97 a billion laughs", laughs
    yield "99 a dtype without a storage of its own", {"a": torch.ones(2).to(torch.float8_e4m3fn)}
    yield "99 complex numbers", {"a": torch.ones(2, dtype=torch.complex64)}
    yield "99 a device without a memory", {"a": torch.ones(2, device="meta")}
    yield "100 overlapping views", {"a": shared[:3], "b": shared[1:]}
    yield "100 one tensor twice", {"a": shared, "b": shared[:]}
    yield "100 an expanded view", {"a": torch.ones(1).expand(5)}
    yield "100 gradients", {"a": torch.ones(2, requires_grad=True)}
    yield "100 a sparse tensor", {"a": torch.eye(2).to_sparse()}
    yield "104 a whole module", torch.nn.Linear(2, 2)


def containers(out, source):
    """The same good file in containers that are refused: {name: bytes}."""
    plain = source.read_bytes()

    def repacked(method, extra=()):
        target = io.BytesIO()
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
            for entry in old.namelist():
                new.writestr(entry, old.read(entry))
            for name in extra:
                new.writestr(name, "x")
        return target.getvalue()

    def changed(name, content):
        target = io.BytesIO()
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
            for entry in old.namelist():
                new.writestr(entry, content if entry.endswith(name) else old.read(entry))
        return target.getvalue()

    root = zipfile.ZipFile(source).namelist()[0].split("/")[0]
    legacy = io.BytesIO()
    torch.save({"a": torch.ones(1)}, legacy, _use_new_zipfile_serialization=False)
    script = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), script)
    yield "101 another byte order", changed("/byteorder", "big")
    yield "102 compressed", repacked(zipfile.ZIP_DEFLATED)
    yield "102 a file beside the folder", repacked(zipfile.ZIP_STORED, ["other"])
    yield "102 a path that leads out", repacked(zipfile.ZIP_STORED, [f"{root}/../x"])
    yield "102 an entry twice", repacked(zipfile.ZIP_STORED, [f"{root}/version"])
    yield "102 something in front", b"#!/bin/sh\n" + plain
    yield "102 something behind", plain + b"x"
    yield "103 the old format", legacy.getvalue()
    yield "103 a bare pickle", pickle.dumps({"a": 1}, protocol=2)
    yield "104 TorchScript", script.getvalue()


def main(out):
    cases = []
    for i, (name, values) in enumerate(good()):
        torch.save(values, out / f"good{i}.pt")
        cases.append({"file": f"good{i}.pt", "name": f"0 {name}", "tensors": describe(values)})
    for i, (name, value) in enumerate(hostile(out)):
        torch.save(value, out / f"hostile{i}.pt")
        cases.append({"file": f"hostile{i}.pt", "name": name, "tensors": None})
    for protocol in (3, 4, 5):
        torch.save({"a": torch.ones(1)}, out / f"protocol{protocol}.pt", pickle_protocol=protocol)
        cases.append({"file": f"protocol{protocol}.pt", "name": f"95 protocol {protocol}", "tensors": None})
    for i, (name, content) in enumerate(containers(out, out / "good1.pt")):
        (out / f"container{i}.pt").write_bytes(content)
        cases.append({"file": f"container{i}.pt", "name": name, "tensors": None})
    torch.load(out / "hostile0.pt", weights_only=False)
    if not (out / "executed").exists():
        raise RuntimeError("the hostile files are harmless")
    (out / "executed").unlink()
    print(json.dumps(cases))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
