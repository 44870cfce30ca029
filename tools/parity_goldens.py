"""Writes what the engine is compared with: tiny random models of every family, computed by transformers and PEFT.

usage: python tools/parity_goldens.py [OUT_FOLDER] [--cases llama,gpt2]          (default: e2e/fixtures/parity)

One folder per case:
  config.json, model.safetensors   the frozen model as transformers saves it
  adapter/                         the adapter before training as PEFT saves it
  golden.json                      sequences, labels, settings, losses, gradient norms, greedy tokens, versions
  golden.safetensors               logits; grad.<module>.lora_{A,B}.weight; after.<module>.lora_{A,B}.weight

The sequences of a case go through the model one by one, so that an engine which packs them is compared with runs that
cannot mix them. The loss is the sum over all trained tokens divided by their number. Everything is computed in float32
from the stored weights; golden.json also says how far that run lies from one in float64 (where transformers still
computes norms and rotary tables in float32), which bounds what can be asked for.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy
import peft
import safetensors
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[1]
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LENGTHS = (17, 29)
STEPS = 10
ADAM = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-12}
NEW_TOKENS = 12


def rope(kind="default", theta=10000.0, **more):
    """The rope_parameters of a config in the spelling of transformers 5."""
    return {"rope_type": kind, "rope_theta": theta, **more}


DECODER = {"vocab_size": 199, "hidden_size": 32, "intermediate_size": 52, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "rope_parameters": rope()}
GPT2 = {"vocab_size": 203, "n_embd": 36, "n_layer": 2, "n_head": 3, "n_positions": 40, "n_inner": None}
LLAMA3 = rope("llama3", 10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)

# name: model type, config, and what differs from the usual adapter, weights and optimizer.
CASES = {
    "llama": {"type": "llama", "config": DECODER},
    "llama-rope3": {"type": "llama", "config": {**DECODER, "num_attention_heads": 2, "num_key_value_heads": 1, "rope_parameters": LLAMA3}},
    "llama-linear": {
        "type": "llama",
        "config": {**DECODER, "num_hidden_layers": 3, "rope_parameters": rope("linear", 10000.0, factor=4.0)},
        "old_spelling": True,
        "lora": {"use_rslora": True, "rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 6}, "alpha_pattern": {"q_proj": 3, "layers.1.mlp.down_proj": 12}},
    },
    "llama-untied": {
        "type": "llama",
        "config": {**DECODER, "tie_word_embeddings": False, "attention_bias": True},
        "lora": {"r": 3, "lora_alpha": 6, "target_modules": [*PROJECTIONS, "lm_head"]},
    },
    "llama-bf16": {"type": "llama", "config": {**DECODER, "num_attention_heads": 8}, "dtype": torch.bfloat16},
    "mistral": {"type": "mistral", "config": {**DECODER, "num_hidden_layers": 3, "sliding_window": 7, "rope_parameters": rope(theta=1e6)}, "clip": 0.5, "old_spelling": True},
    "qwen2": {"type": "qwen2", "config": {**DECODER, "rms_norm_eps": 1e-6, "rope_parameters": rope(theta=1e6)}, "weight_decay": 0.01},
    "qwen3": {"type": "qwen3", "config": {**DECODER, "head_dim": 12, "rms_norm_eps": 1e-6, "rope_parameters": rope(theta=1e6)}},
    "gpt2": {"type": "gpt2", "config": GPT2, "lora": {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}},
    "gpt2-f16": {
        "type": "gpt2",
        "config": {**GPT2, "n_embd": 32, "n_head": 2, "layer_norm_epsilon": 1e-6},
        "dtype": torch.float16,
        "lora": {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True},
    },
}


def random_model(case, generator):
    """A model whose every parameter is random, norms and biases too, so that a missing one shows."""
    config = transformers.AutoConfig.for_model(case["type"], **case["config"], bos_token_id=1, eos_token_id=2, pad_token_id=None)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() > 1:
                is_embedding = "embed" in name or "wte" in name or "wpe" in name or "lm_head" in name
                rows_in = p.shape[0] if case["type"] == "gpt2" else p.shape[1]
                p.copy_(noise * (0.3 if is_embedding else rows_in**-0.5))
            elif name.endswith("bias"):
                p.copy_(noise * 0.2)
            else:
                p.copy_(1 + 0.2 * noise)
    model.tie_weights()
    return model


def old_spelling(path):
    """Rewrites a config as transformers 4 wrote it: rope_theta, rope_scaling, torch_dtype."""
    config = json.loads(path.read_text())
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    config["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_model(case, folder, generator):
    """Saves the random model in the dtype of the case."""
    model = random_model(case, generator).to(case.get("dtype", torch.float32))
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.get("old_spelling"):
        old_spelling(folder / "config.json")


def write_adapter(case, folder, generator):
    """Saves an adapter whose A and B are both non-zero, with a config whose bytes do not depend on hashing."""
    base = load_base(folder, torch.float32)
    settings = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": PROJECTIONS, **case.get("lora", {})}
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, p in lora_parameters(model).items():
            scale = p.shape[1] ** -0.5 if "lora_A" in name else 0.1
            p.copy_(torch.randn(p.shape, generator=generator) * scale)
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        adapter = folder / "adapter"
        adapter.mkdir()
        shutil.copy(Path(saved) / "adapter_model.safetensors", adapter)
        config = json.loads((Path(saved) / "adapter_config.json").read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = folder.name
    (adapter / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_base(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")


def load_adapted(folder, dtype):
    """The saved model with the saved adapter, trainable, in evaluation mode."""
    model = PeftModel.from_pretrained(load_base(folder, dtype), folder / "adapter", is_trainable=True)
    return model.to(dtype).eval()


def lora_parameters(model):
    """The adapter's tensors by the names that the goldens use: no PEFT prefix, no adapter name."""
    named = [(n, p) for n, p in model.named_parameters() if ".lora_A." in n or ".lora_B." in n]
    return {n.removeprefix("base_model.model.").replace(".default.weight", ".weight"): p for n, p in named}


def make_sequences(vocab, generator):
    """Random sequences with labels as transformers wants them: aligned with the ids, -100 where nothing is trained.

    The first has a label on its first token, which has no token before it and must not count; the second starts with
    a long untrained prompt and has a gap.
    """
    sequences = []
    for length in LENGTHS:
        ids = torch.randint(0, vocab, (length,), generator=generator).tolist()
        labels = list(ids)
        holes = range(3, 6) if length == LENGTHS[0] else [*range(0, 11), 17, 18, 23]
        for i in holes:
            labels[i] = -100
        sequences.append({"inputIds": ids, "labels": labels})
    return sequences


def forward(model, sequences):
    """Logits of each sequence, run alone, and the mean loss over all trained tokens."""
    logits = [model(input_ids=torch.tensor([s["inputIds"]]), use_cache=False).logits[0] for s in sequences]
    labels = [torch.tensor(s["labels"])[1:] for s in sequences]
    trained = sum(int((t != -100).sum()) for t in labels)
    total = sum(F.cross_entropy(x[:-1], t, reduction="sum") for x, t in zip(logits, labels))
    return logits, total / trained, trained


def train(model, sequences, case):
    """Logits and gradients before training, then ten AdamW steps: losses, gradient norms, the adapter after them."""
    parameters = lora_parameters(model)
    optimizer = torch.optim.AdamW(parameters.values(), weight_decay=case.get("weight_decay", 0.0), foreach=False, **ADAM)
    result = {"losses": [], "gradNorms": []}
    for step in range(STEPS):
        optimizer.zero_grad()
        logits, loss, trained = forward(model, sequences)
        loss.backward()
        if step == 0:
            result["logits"] = torch.cat(logits).detach().clone()
            result["grads"] = {n: p.grad.clone() for n, p in parameters.items()}
            result["trainedTokens"] = trained
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), case.get("clip", float("inf")), foreach=False)
        optimizer.step()
        result["losses"].append(loss.item())
        result["gradNorms"].append(norm.item())
    result["after"] = {n: p.detach().clone() for n, p in parameters.items()}
    return result


def greedy(model, prompt):
    """Greedy tokens after the prompt, and the smallest lead of a chosen token over the next best."""
    ids, lead = list(prompt), float("inf")
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            best = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
            lead = min(lead, float(best.values[0] - best.values[1]))
            ids.append(int(best.indices[0]))
    return {"prompt": list(prompt), "tokens": ids[len(prompt) :], "smallestLead": lead}


def relative(a, b):
    """Relative L2 distance of two sets of tensors, the largest over the set."""
    return max(float((a[n].double() - b[n]).norm() / b[n].norm()) for n in b)


def rounding(single, double):
    """How far the float32 run lies from the float64 run."""
    return {
        "logitsMaxAbs": float((single["logits"].double() - double["logits"]).abs().max()),
        "gradRelativeL2": relative(single["grads"], double["grads"]),
        "lossesRelative": max(abs(a - b) / b for a, b in zip(single["losses"], double["losses"])),
        "afterRelativeL2": relative(single["after"], double["after"]),
        "afterMaxAbs": max(float((single["after"][n].double() - double["after"][n]).abs().max()) for n in double["after"]),
    }


def check_case(name, case, folder, sequences, result):
    """Fails where a case would not show what it is there for."""
    assert all(float(g.abs().max()) > 0 for g in result["grads"].values()), f"{name}: a gradient is zero"
    stored = {t.dtype for t in load_file(folder / "model.safetensors").values()}
    assert stored == {case.get("dtype", torch.float32)}, f"{name}: stored as {stored}"
    if "clip" in case:
        assert result["gradNorms"][0] > case["clip"], f"{name}: the gradient norm is never clipped"
    if "sliding_window" in case["config"]:
        model = load_adapted(folder, torch.float32)
        model.config.sliding_window = None
        wide = torch.cat(forward(model, sequences)[0]).detach()
        assert float((wide - result["logits"]).abs().max()) > 0.01, f"{name}: the sliding window changes nothing"


def write_case(name, case, folder):
    generator = torch.Generator().manual_seed(1 + list(CASES).index(name))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_model(case, folder, generator)
    write_adapter(case, folder, generator)
    sequences = make_sequences(case["config"]["vocab_size"], generator)
    result = train(load_adapted(folder, torch.float32), sequences, case)
    check_case(name, case, folder, sequences, result)
    tensors = {"logits": result["logits"]}
    tensors |= {f"grad.{n}": t for n, t in result["grads"].items()} | {f"after.{n}": t for n, t in result["after"].items()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "golden.safetensors")
    golden = {
        "case": name,
        "sequences": sequences,
        "trainedTokens": result["trainedTokens"],
        "loss": result["losses"][0],
        "optimizer": {"lr": ADAM["lr"], "beta1": ADAM["betas"][0], "beta2": ADAM["betas"][1], "eps": ADAM["eps"], "weightDecay": case.get("weight_decay", 0.0), "gradClip": case.get("clip", 0)},
        "losses": result["losses"],
        "gradNorms": result["gradNorms"],
        "greedy": greedy(load_adapted(folder, torch.float32), sequences[0]["inputIds"][:5]),
        "float32AgainstFloat64": rounding(result, train(load_adapted(folder, torch.float64), sequences, case)),
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "peft": peft.__version__, "safetensors": safetensors.__version__, "numpy": numpy.__version__},
    }
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{name}: loss {golden['loss']:.4f} -> {golden['losses'][-1]:.4f}, norm {golden['gradNorms'][0]:.3f}, {size // 1024} KiB, {golden['float32AgainstFloat64']}, lead {golden['greedy']['smallestLead']:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Writes the parity goldens.")
    parser.add_argument("out", nargs="?", default=ROOT / "e2e" / "fixtures" / "parity", type=Path)
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated, default all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    for name in args.cases.split(","):
        write_case(name, CASES[name], args.out / name)


if __name__ == "__main__":
    main()
