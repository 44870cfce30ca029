"""Writes the fixture of src/engine/model/rope-table.test.ts: cosines and sines from transformers' own rotary embedding.

usage: python tools/rope_goldens.py          (run by hand; the result is committed)

Writes src/engine/model/fixtures/rope-goldens.json. Made with transformers 5.23.0 and PyTorch 2.13.0 in float32 on a CPU.
"""
import json, os

os.environ["HF_HUB_OFFLINE"] = "1"
import torch, transformers
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src/engine/model/fixtures/rope-goldens.json")
POSITIONS = [0, 1, 2, 17, 100, 511]
LLAMA3 = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
CASES = [
    {"headDim": 64, "parameters": {"rope_type": "default", "rope_theta": 100000.0}},
    {"headDim": 12, "parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    {"headDim": 32, "parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0}},
    {"headDim": 64, "parameters": {"rope_type": "llama3", "rope_theta": 500000.0, **LLAMA3}},
]


def table(head_dim, parameters):
    config = LlamaConfig(head_dim=head_dim, hidden_size=head_dim, num_attention_heads=1, max_position_embeddings=131072,
                         rope_parameters=dict(parameters))
    cos, sin = LlamaRotaryEmbedding(config)(torch.zeros(1, dtype=torch.float32), torch.tensor([POSITIONS]))
    half = head_dim // 2
    rows = torch.cat((cos[0, :, :half], sin[0, :, :half]), dim=-1)
    return [[float(f"{value:.9g}") for value in row] for row in rows.tolist()]


cases = [{**case, "rows": table(case["headDim"], case["parameters"])} for case in CASES]
os.makedirs(os.path.dirname(OUT), exist_ok=True)
with open(OUT, "w") as file:
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    json.dump({"versions": versions, "positions": POSITIONS, "cases": cases}, file, separators=(",", ":"))
    file.write("\n")
print(OUT, os.path.getsize(OUT), "bytes")
