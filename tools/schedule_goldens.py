"""Writes the fixture of src/engine/train/schedule.test.ts: the factors of transformers' learning-rate schedules.

usage: python tools/schedule_goldens.py          (run by hand; the result is committed)

Writes src/engine/train/fixtures/schedule-goldens.json. Made with transformers 5.23.0.
"""
import json, os

os.environ["HF_HUB_OFFLINE"] = "1"
import torch, transformers
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src/engine/train/fixtures/schedule-goldens.json")
MAKERS = {
    "constant": lambda optimizer, warmup, total: get_constant_schedule_with_warmup(optimizer, warmup),
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
}
# Warm-up steps and all steps; the last two warm up for the whole run and beyond it.
RUNS = [(0, 1), (0, 7), (1, 10), (3, 13), (5, 5), (8, 4)]


def factors(name, warmup, total):
    """One factor for each step of the run, and two past its end."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    (factor,) = MAKERS[name](optimizer, warmup, total).lr_lambdas
    return [factor(step) for step in range(total + 2)]


cases = [{"name": name, "warmupSteps": warmup, "totalSteps": total, "factors": factors(name, warmup, total)}
         for name in MAKERS for warmup, total in RUNS]
os.makedirs(os.path.dirname(OUT), exist_ok=True)
with open(OUT, "w") as file:
    json.dump({"versions": {"transformers": transformers.__version__}, "cases": cases}, file, separators=(",", ":"))
    file.write("\n")
print(OUT, os.path.getsize(OUT), "bytes")
