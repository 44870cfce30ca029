"""Loads an exported adapter with PEFT and says what it found: the judge of the interop tests.

usage: python tools/check_export.py ARCHIVE_OR_FOLDER MODEL_DIR OUT.json
         [--sequences FILE]   JSON: a list of lists of token ids; their logits are computed
         [--logits FILE]      safetensors with the engine's `logits`, [all tokens of the sequences one behind another, vocabulary]
         [--reference FILE]   where to write PEFT's logits in the same form
         [--prompts FILE]     JSON: a list of prompts (lists of token ids, or texts); greedy answers are computed
         [--max-tokens 32] [--ignore-eos]
         [--resave FOLDER]    where PEFT saves the adapter again

An archive is unpacked by Python's tarfile. Everything is computed in float32. OUT.json holds
  ok, problems             whether the adapter loaded as it should, and what was wrong
  entries                  names in the archive, in its order (empty for a folder)
  warnings                 everything that Python, transformers and PEFT said while the adapter was loaded
  missingKeys, unexpectedKeys   tensors that the model wants and the file lacks, and the reverse
  logitsMaxAbsDiff         engine against PEFT, with --logits
  effect                   largest change of a logit by the adapter, with --sequences
  answers                  [{tokens, text, smallestLead}] with --prompts; the lead of a token over the next best
  versions
The exit code is 0 with ok, 1 otherwise, 2 for wrong usage.
"""

import argparse
import json
import logging
import sys
import tarfile
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import peft
import torch
import transformers
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

# Notices about the libraries' own future, not about the file.
NOTICES = (FutureWarning, DeprecationWarning, PendingDeprecationWarning)


class Recorder(logging.Handler):
    """Keeps log messages of level WARNING and above."""

    def __init__(self, said):
        super().__init__(logging.WARNING)
        self.said = said

    def emit(self, record):
        self.said.append({"category": record.levelname, "source": record.name, "message": record.getMessage()})


@contextmanager
def recorded():
    """Gives a list that fills with every Python warning and every warning in a log while the block runs."""
    said = []
    handler = Recorder(said)
    loggers = [logging.getLogger(name) for name in (None, "transformers", "peft", "accelerate")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield said
        for w in caught:
            if not issubclass(w.category, NOTICES):
                said.append({"category": w.category.__name__, "source": w.filename, "message": str(w.message)})
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def unpack(path, into):
    """The PEFT folder of an export, and the names of the archive's entries in their order."""
    path = Path(path)
    if path.is_dir():
        return path, []
    with tarfile.open(path, "r:gz") as archive:
        entries = archive.getnames()
        archive.extractall(into, filter="data")
    return Path(into), entries


def load_base(model_dir):
    """The frozen model in float32."""
    return AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()


def load_adapter(base, folder):
    """The model with its adapter; what was said while it was loaded; missing and unexpected tensor names."""
    with recorded() as said:
        model = PeftModel.from_pretrained(base, folder).eval()
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    with safe_open(Path(folder) / "adapter_model.safetensors", framework="pt") as file:
        given = set(file.keys())
    # PEFT itself saves the frozen weight of an adapted lm_head along with its factors.
    given = {name for name in given if not name.endswith(".base_layer.weight")}
    return model, said, sorted(wanted - given), sorted(given - wanted)


def logits_of(model, sequences):
    """Logits of all sequences one behind another, each run alone."""
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([ids]), use_cache=False).logits[0] for ids in sequences])


def answer(model, tokenizer, prompt, count, ignore_eos):
    """The greedy answer to a prompt by transformers' generate."""
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
    stop = {"eos_token_id": None} if ignore_eos else {}
    given = torch.tensor([ids])
    out = model.generate(
        input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=count, do_sample=False, repetition_penalty=1.0,
        return_dict_in_generate=True, output_logits=True, **stop,
    )
    best = [logits[0].topk(2).values for logits in out.logits]
    tokens = out.sequences[0, len(ids) :].tolist()
    text = tokenizer.decode(tokens) if tokenizer else None
    return {"tokens": tokens, "text": text, "smallestLead": min(float(b[0] - b[1]) for b in best)}


def compare(ours, theirs):
    """Largest difference of two sets of logits, infinite where the shapes differ or a value is not finite."""
    if ours.shape != theirs.shape or not bool(torch.isfinite(ours).all()):
        return float("inf")
    return float((ours.float() - theirs).abs().max())


def check(args, folder, entries):
    """Everything that OUT.json holds."""
    base = load_base(args.model)
    sequences = json.loads(Path(args.sequences).read_text()) if args.sequences else []
    plain = logits_of(base, sequences) if sequences else None
    model, said, missing, unexpected = load_adapter(base, folder)
    problems = [f"{w['category']}: {w['message']}" for w in said]
    problems += [f"missing key {name}" for name in missing] + [f"unexpected key {name}" for name in unexpected]
    report = {"entries": entries, "warnings": said, "missingKeys": missing, "unexpectedKeys": unexpected}
    if sequences:
        logits = logits_of(model, sequences)
        report["effect"] = float((logits - plain).abs().max())
        if args.logits:
            report["logitsMaxAbsDiff"] = compare(load_file(args.logits)["logits"], logits)
        if args.reference:
            save_file({"logits": logits.contiguous()}, args.reference)
    if args.prompts:
        has_tokenizer = (Path(args.model) / "tokenizer.json").exists()
        tokenizer = AutoTokenizer.from_pretrained(args.model) if has_tokenizer else None
        prompts = json.loads(Path(args.prompts).read_text())
        report["answers"] = [answer(model, tokenizer, p, args.max_tokens, args.ignore_eos) for p in prompts]
    if args.resave:
        model.save_pretrained(args.resave)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    return {"ok": not problems, "problems": problems, **report, "versions": versions}


def main(argv=None):
    parser = argparse.ArgumentParser(description="Loads an exported adapter with PEFT and says what it found.")
    parser.add_argument("export")
    parser.add_argument("model")
    parser.add_argument("out")
    for name in ("--sequences", "--logits", "--reference", "--prompts", "--resave"):
        parser.add_argument(name)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--ignore-eos", action="store_true")
    args = parser.parse_args(argv)
    if (args.logits or args.reference) and not args.sequences:
        parser.error("--logits and --reference need --sequences")
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as into:
        try:
            folder, entries = unpack(args.export, into)
            report = check(args, folder, entries)
        except Exception as error:
            report = {"ok": False, "problems": [f"{type(error).__name__}: {error}"]}
    Path(args.out).write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({"ok": report["ok"], "problems": report["problems"]}))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
