"""Writes what the losses of the training interface are compared with: PyTorch's autograd over PEFT's log-probabilities.

usage: python tools/loss_goldens.py [OUT_FOLDER] [--models llama,gpt2]          (default: e2e/fixtures/losses)

Models and adapters are those of tools/parity_goldens.py (e2e/fixtures/parity). For each model two files:
  <model>.json         data, log-probabilities with and without the adapter, and for each loss its inputs and its value
  <model>.safetensors  <loss case>.<module>.lora_{A,B}.weight: the gradient of the sum over all tokens

Everything is computed in float32, sequence by sequence; the file also says how far that lies from float64. The custom
losses are differentiated directly, while the engine trains them as cross-entropy with the weights -dC/dlogprob.
"""

import argparse
import json
from pathlib import Path

import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

from parity_goldens import load_adapted, lora_parameters

ROOT = Path(__file__).resolve().parents[1]
PARITY = ROOT / "e2e" / "fixtures" / "parity"
MODELS = ["llama", "llama-untied", "gpt2"]
LENGTHS = (9, 17, 13)
PROMPT = 4  # the first positions, which no reward is given for
DPO_BETA = 0.1
MARGIN = 1e-3  # no ratio lies nearer to a clip bound than this

# case: loss and settings. "tokens" gives every token clip bounds of its own.
CASES = {
    "cross_entropy": ("cross_entropy", {}),
    "cross_entropy_2_targets": ("cross_entropy", {}),
    "importance_sampling": ("importance_sampling", {}),
    "ppo": ("ppo", {"clipLowThreshold": 0.8, "clipHighThreshold": 1.2}),
    "ppo_tokens": ("ppo", {"clipLowThreshold": 0.8, "clipHighThreshold": 1.2}),
    "cispo": ("cispo", {"clipLowThreshold": 0.7, "clipHighThreshold": 1.1}),
    "cispo_tokens": ("cispo", {"clipLowThreshold": 0.8, "clipHighThreshold": 1.2}),
    "dro": ("dro", {"beta": 0.3}),
    "custom_dpo": ("custom", {"beta": DPO_BETA}),
    "custom_quadratic": ("custom", {}),
}


def token_logprobs(model, datum, targets):
    """Log-probabilities of targets [N] or [N, K]."""
    logits = model(input_ids=torch.tensor([datum["inputIds"]]), use_cache=False).logits[0]
    spread = F.log_softmax(logits, dim=-1)
    return spread.gather(-1, targets.view(len(targets), -1)).view(targets.shape)


def token_losses(name, settings, logp, inputs):
    """One loss for each token, as the specification of the interface writes them."""
    if name == "cross_entropy":
        return -inputs["weights"] * logp
    advantages, q = inputs["advantages"], inputs["logprobs"]
    ratio = torch.exp(logp - q)
    if name == "importance_sampling":
        return -ratio * advantages
    if name == "dro":
        return -(logp * advantages - 0.5 * settings["beta"] * (logp - q) ** 2)
    low = inputs.get("clipLowThreshold", torch.full_like(logp, settings["clipLowThreshold"]))
    high = inputs.get("clipHighThreshold", torch.full_like(logp, settings["clipHighThreshold"]))
    bounded = torch.minimum(torch.maximum(ratio, low), high)
    if name == "ppo":
        return -torch.minimum(ratio * advantages, bounded * advantages)
    return -bounded.detach() * logp * advantages


def custom_loss(case, logprobs, base):
    """Losses over whole sequences, which no built-in loss can say."""
    if case == "custom_quadratic":
        return sum(((logp + 3) ** 2).mean() for logp in logprobs)
    margins = [(logp[PROMPT:] - reference[PROMPT:]).sum() for logp, reference in zip(logprobs, base)]
    return -F.logsigmoid(DPO_BETA * (margins[0] - margins[1]))


def make_inputs(case, data, logprobs, generator):
    """The loss's inputs of each datum; weights and advantages of both signs and 0, ratios on both sides of the bounds."""

    def normal(shape, scale=1.0):
        return torch.randn(shape, generator=generator) * scale

    inputs = []
    for datum, logp in zip(data, logprobs):
        n = len(datum["inputIds"])
        if case == "cross_entropy":
            weights = normal(n).abs() + 0.1
            weights[:PROMPT] = 0
            weights[5] = -0.4
            inputs.append({"weights": weights})
        elif case == "cross_entropy_2_targets":
            inputs.append({"weights": normal((n, 2)).abs() * torch.tensor([1.0, 0.3])})
        elif case.startswith("custom"):
            inputs.append({})
        else:
            advantages = normal(n) + 0.4
            q = logp - normal(n, 0.4)
            advantages[:PROMPT] = 0
            q[:PROMPT] = 0
            tensors = {"logprobs": q, "advantages": advantages}
            if case.endswith("_tokens"):
                tensors["clipLowThreshold"] = 0.75 + normal(n, 0.05)
                tensors["clipHighThreshold"] = 1.25 + normal(n, 0.05)
            inputs.append(tensors)
    return inputs


def check_margins(case, settings, logprobs, inputs):
    """Fails where rounding could decide which side of a bound a token is on, or where nothing is clipped."""
    clipped = kept = 0
    for logp, tensors in zip(logprobs, inputs):
        ratio = torch.exp(logp - tensors["logprobs"])[PROMPT:]
        for key in ("clipLowThreshold", "clipHighThreshold"):
            bound = tensors[key][PROMPT:] if key in tensors else settings[key]
            assert float((ratio - bound).abs().min()) > MARGIN, f"{case}: a ratio lies on {key}"
            outside = ratio < bound if "Low" in key else ratio > bound
            clipped += int(outside.sum())
        kept += len(ratio)
    assert 5 < clipped < kept - 5, f"{case}: {clipped} of {kept} are clipped"


def measure(model, case, data, targets, inputs, base):
    """Value and gradients of the sum over all data."""
    name, settings = CASES[case]
    parameters = lora_parameters(model)
    dtype = next(iter(parameters.values())).dtype
    model.zero_grad()
    logprobs = [token_logprobs(model, datum, t) for datum, t in zip(data, targets)]
    if name == "custom":
        loss = custom_loss(case, logprobs, [b.to(dtype) for b in base])
        size = float(loss.detach().abs())
    else:
        parts = [token_losses(name, settings, logp, {k: v.to(dtype) for k, v in i.items()}) for logp, i in zip(logprobs, inputs)]
        loss = sum(part.sum() for part in parts)
        size = sum(float(part.detach().abs().sum()) for part in parts)
    assert abs(float(loss.detach())) > 0.05 * size, f"{case}: the sum cancels to {float(loss)} of {size}"
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in parameters.items()}


def distance(a, b):
    return max(float((a[n].double() - b[n]).norm() / b[n].norm()) for n in b)


def write_model(model_name, out, seed):
    generator = torch.Generator().manual_seed(seed)
    folder = PARITY / model_name
    single, double = load_adapted(folder, torch.float32), load_adapted(folder, torch.float64)
    vocab = single.config.vocab_size
    data = []
    for length in LENGTHS:
        ids = torch.randint(0, vocab, (length + 1,), generator=generator)
        data.append({"inputIds": ids[:-1].tolist(), "targetTokens": ids[1:].tolist()})
    plain = [torch.tensor(datum["targetTokens"]) for datum in data]
    with torch.no_grad():
        logprobs = [token_logprobs(single, datum, t) for datum, t in zip(data, plain)]
        with single.disable_adapter():
            base = [token_logprobs(single, datum, t) for datum, t in zip(data, plain)]
    tensors, cases = {}, {}
    for case, (name, settings) in CASES.items():
        targets = plain
        if case == "cross_entropy_2_targets":
            targets = [torch.stack([t, torch.randint(0, vocab, t.shape, generator=generator)], dim=1) for t in plain]
        inputs = make_inputs(case, data, logprobs, generator)
        if name in ("ppo", "cispo"):
            check_margins(case, settings, logprobs, inputs)
        value, gradients = measure(single, case, data, targets, inputs, base)
        exact, exact_gradients = measure(double, case, data, targets, inputs, base)
        for n, gradient in gradients.items():
            assert float(gradient.abs().max()) > 0, f"{case}: the gradient of {n} is zero"
            tensors[f"{case}.{n}"] = gradient.contiguous()
        cases[case] = {
            "loss": name,
            "settings": settings,
            "data": [{"targetTokens": t.flatten().tolist(), **{k: v.flatten().tolist() for k, v in i.items()}} for t, i in zip(targets, inputs)],
            "value": value,
            "float32AgainstFloat64": {"value": abs(value / exact - 1), "gradients": distance(gradients, exact_gradients)},
        }
        print(f"{model_name} {case}: {value:.5f}, {cases[case]['float32AgainstFloat64']}", flush=True)
    save_file(tensors, out / f"{model_name}.safetensors")
    golden = {
        "model": model_name,
        "promptPositions": PROMPT,
        "inputIds": [datum["inputIds"] for datum in data],
        "logprobs": [logp.tolist() for logp in logprobs],
        "baseLogprobs": [logp.tolist() for logp in base],
        "cases": cases,
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "peft": peft.__version__},
    }
    (out / f"{model_name}.json").write_text(json.dumps(golden) + "\n")


def main():
    parser = argparse.ArgumentParser(description="Writes the goldens of the losses.")
    parser.add_argument("out", nargs="?", default=ROOT / "e2e" / "fixtures" / "losses", type=Path)
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated, default all")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    for name in args.models.split(","):
        write_model(name, args.out, 100 + MODELS.index(name))


if __name__ == "__main__":
    main()
