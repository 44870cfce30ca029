"""Writes the fixture of src/engine/ops/adamw.test.ts: ten steps of torch.optim.AdamW with clip_grad_norm_ before each.

usage: python tools/adamw_goldens.py          (run by hand; the result is committed)

Writes src/engine/ops/fixtures/adamw-goldens.json. Made with PyTorch 2.13.0 in float32 on a CPU.
"""
import json, os

import torch

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src/engine/ops/fixtures/adamw-goldens.json")
SIZE = 18
STEPS = 10
CASES = [
    {"name": "the defaults", "lr": 1e-4, "betas": (0.9, 0.95), "eps": 1e-12, "decay": 0.0, "clip": 0.0},
    {"name": "decay, clipping and a falling rate", "lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8, "decay": 0.1, "clip": 0.75},
    {"name": "a short memory", "lr": 1e-2, "betas": (0.3, 0.5), "eps": 1e-6, "decay": 0.01, "clip": 100.0},
]


def short(values):
    return [float(f"{value:.9g}") for value in values]


def run(index, case):
    generator = torch.Generator().manual_seed(index)
    start = torch.randn(SIZE, generator=generator) * 0.05
    start[-2:] = 0
    parameter = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([parameter], lr=case["lr"], betas=case["betas"], eps=case["eps"],
                                  weight_decay=case["decay"], foreach=False)
    rates, grads, norms = [], [], []
    for step in range(STEPS):
        rate = case["lr"] * (1 - step / STEPS) if "falling" in case["name"] else case["lr"]
        gradient = torch.randn(SIZE, generator=generator) * 10.0 ** (-step % 4)
        gradient[-2:] = 0
        parameter.grad = gradient.clone()
        limit = case["clip"] if case["clip"] > 0 else float("inf")
        norm = torch.nn.utils.clip_grad_norm_([parameter], limit)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        rates.append(rate)
        grads.append(short(gradient.tolist()))
        norms.append(float(f"{norm.item():.9g}"))
    state = optimizer.state[parameter]
    return {
        "name": case["name"], "beta1": case["betas"][0], "beta2": case["betas"][1], "eps": case["eps"],
        "weightDecay": case["decay"], "gradClip": case["clip"], "rates": rates, "start": short(start.tolist()),
        "grads": grads, "norms": norms, "params": short(parameter.tolist()),
        "expAvg": short(state["exp_avg"].tolist()), "expAvgSq": short(state["exp_avg_sq"].tolist()),
    }


cases = [run(index, case) for index, case in enumerate(CASES)]
os.makedirs(os.path.dirname(OUT), exist_ok=True)
with open(OUT, "w") as file:
    json.dump({"versions": {"torch": torch.__version__}, "cases": cases}, file, separators=(",", ":"))
    file.write("\n")
print(OUT, os.path.getsize(OUT), "bytes")
