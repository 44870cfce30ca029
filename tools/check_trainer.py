"""Resumes a real HuggingFace Trainer from a checkpoint folder, or lets one write such a folder: the judge of the interop tests.

usage: python tools/check_trainer.py resume MODEL_DIR CHECKPOINT ROWS.json OUT.json MOMENTS.safetensors
       python tools/check_trainer.py train MODEL_DIR ADAPTER_DIR ROWS.json OUT_DIR

ROWS.json is a list of {input_ids, labels}; every step takes all of them as one batch, so that no order of data matters.
Everything is computed in float32 on one thread of the CPU.

resume  loads the files with torch.load(weights_only=True), loads them into a plain AdamW, then resumes a Trainer with a
        PEFT model and lets it do one step. OUT.json: ok, problems, warnings, step, learningRate (of that step), loss,
        lossAfter (of the step behind it), files (what each file holds), names (of named_parameters), orderBySafetensors.
        MOMENTS.safetensors: what the optimizer of that Trainer held before the step, `<name>.exp_avg` and `.exp_avg_sq`.
train   trains four steps with warm-up and cosine, saving at step 2. OUT_DIR/checkpoint-2 is what Trainer wrote;
        OUT_DIR/expected.json: step, learningRate, loss (of step 3), lossAfter (of step 4);
        OUT_DIR/moments.safetensors: the moments at step 2.
The exit code is 0 when it went as it should, 1 otherwise.
"""

import argparse
import json
import shutil
import sys
import warnings
from pathlib import Path

# Beside this script lies a folder named datasets, which transformers would take for the package of that name.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

import torch
import transformers
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

# Notices about the libraries' own future, not about the files.
NOTICES = (FutureWarning, DeprecationWarning, PendingDeprecationWarning)


def plain(name):
    """The name of a parameter as adapter_model.safetensors has it."""
    return name.replace(".default.weight", ".weight")


def trainable(model):
    """Names and parameters that are trained, in the order of named_parameters()."""
    return [(plain(name), p) for name, p in model.named_parameters() if p.requires_grad]


def collate(rows):
    """All rows as one padded batch."""
    length = max(len(row["input_ids"]) for row in rows)

    def pad(key, value):
        return torch.tensor([row[key] + [value] * (length - len(row[key])) for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows])
    return {"input_ids": pad("input_ids", 0), "labels": pad("labels", -100), "attention_mask": mask}


class Watcher(TrainerCallback):
    """Notes the optimizer's state once it is loaded, the rate and loss of each step, and stops after `steps` of them."""

    def __init__(self, model, steps):
        self.model = model
        self.steps = steps
        self.moments = {}
        self.begun = {}
        self.saved = {}
        self.log = []

    def read_moments(self, optimizer):
        state = optimizer.state
        found = {}
        for name, parameter in trainable(self.model):
            for key in ("exp_avg", "exp_avg_sq"):
                if parameter in state:
                    found[f"{name}.{key}"] = state[parameter][key].clone().contiguous()
        return found

    def on_train_begin(self, args, state, control, optimizer=None, lr_scheduler=None, **kwargs):
        self.moments = self.read_moments(optimizer)
        steps = {float(entry["step"]) for entry in optimizer.state.values() if "step" in entry}
        self.begun = {
            "step": state.global_step,
            "optimizerSteps": sorted(steps),
            "learningRate": lr_scheduler.get_last_lr()[0],
            "groupRates": [group["lr"] for group in optimizer.param_groups],
            "position": lr_scheduler.state_dict()["last_epoch"],
            "maxSteps": state.max_steps,
        }

    def on_step_end(self, args, state, control, **kwargs):
        self.steps -= 1
        control.should_log = True
        if self.steps == 0:
            control.should_training_stop = True

    def on_save(self, args, state, control, optimizer=None, **kwargs):
        self.saved[state.global_step] = self.read_moments(optimizer)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "loss" in logs:
            self.log.append({"step": state.global_step, **{k: float(v) for k, v in logs.items()}})


def make_trainer(model, rows, out, watcher, **settings):
    """A Trainer that takes all rows as one batch, with the defaults of its own but for what is given."""
    arguments = TrainingArguments(
        output_dir=str(out), per_device_train_batch_size=len(rows), use_cpu=True, report_to=[], disable_tqdm=True,
        remove_unused_columns=False, ignore_data_skip=True, logging_nan_inf_filter=False, max_grad_norm=0.0, **settings,
    )
    return Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[watcher])


def load_model(model_dir, adapter):
    """The model with its adapter for training, without the dropout of the base model (GPT-2's default), which would be chance."""
    config = AutoConfig.from_pretrained(model_dir)
    for key in ("attn_pdrop", "embd_pdrop", "resid_pdrop", "attention_dropout"):
        if hasattr(config, key):
            setattr(config, key, 0.0)
    base = AutoModelForCausalLM.from_pretrained(model_dir, config=config, dtype=torch.float32)
    return PeftModel.from_pretrained(base, adapter, is_trainable=True)


def check_files(checkpoint, model):
    """What torch itself says of the files: they load without code, and into an AdamW made by hand."""
    files = {}
    for name in ("optimizer.pt", "scheduler.pt"):
        files[name] = torch.load(checkpoint / name, weights_only=True)
    saved = files["optimizer.pt"]
    parameters = [p for _, p in trainable(model)]
    optimizer = torch.optim.AdamW([{"params": parameters}, {"params": [], "weight_decay": 0.0}], lr=1.0)
    optimizer.load_state_dict(saved)
    problems = []
    for i, (name, parameter) in enumerate(trainable(model)):
        held, stored = optimizer.state[parameter], saved["state"][i]
        if not all(torch.equal(held[key], stored[key]) for key in ("step", "exp_avg", "exp_avg_sq")):
            problems.append(f"{name} was loaded otherwise than it was stored")
        if held["step"].dtype != torch.float32 or held["step"].dim() != 0:
            problems.append(f"the step of {name} is {held['step']!r}")
    summary = {
        "groups": [{k: v for k, v in group.items() if k != "params"} | {"params": len(group["params"])} for group in saved["param_groups"]],
        "scheduler": files["scheduler.pt"],
    }
    return problems, summary


def resume(args):
    """Resumes from CHECKPOINT and does one step."""
    checkpoint = Path(args.checkpoint)
    rows = json.loads(Path(args.rows).read_text())
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    problems = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load_model(args.model, checkpoint)
        found, files = check_files(checkpoint, model)
        problems += found
        group = files["groups"][0]
        watcher = Watcher(model, 2)
        trainer = make_trainer(
            model, rows, checkpoint.parent / "resumed", watcher, max_steps=state["max_steps"], learning_rate=group["initial_lr"],
            lr_scheduler_type=args.schedule, warmup_steps=args.warmup, weight_decay=group["weight_decay"],
            adam_beta1=group["betas"][0], adam_beta2=group["betas"][1], adam_epsilon=group["eps"], save_strategy="no",
        )
        trainer.train(resume_from_checkpoint=str(checkpoint))
        said = [f"{w.category.__name__}: {w.message}" for w in caught if not issubclass(w.category, NOTICES)]
    save_file(watcher.moments, args.moments)
    with safe_open(checkpoint / "adapter_model.safetensors", framework="pt") as file:
        sorted_names = list(file.keys())
    return {
        "ok": not problems,
        "problems": problems,
        "warnings": said,
        "begun": watcher.begun,
        "log": watcher.log,
        "files": files,
        "names": [name for name, _ in trainable(model)],
        "orderBySafetensors": sorted_names,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def train(args):
    """Trains four steps from ADAPTER_DIR and keeps what is needed to compare."""
    rows = json.loads(Path(args.rows).read_text())
    out = Path(args.out)
    model = load_model(args.model, args.adapter)
    watcher = Watcher(model, 4)
    trainer = make_trainer(
        model, rows, out / "run", watcher, max_steps=8, learning_rate=1e-3, lr_scheduler_type="cosine", warmup_steps=2,
        weight_decay=0.01, save_strategy="steps", save_steps=2,
    )
    trainer.train()
    shutil.copytree(out / "run" / "checkpoint-2", out / "checkpoint-2")
    save_file(watcher.saved[2], out / "moments.safetensors")
    (out / "expected.json").write_text(json.dumps({"log": watcher.log, "names": [name for name, _ in trainable(model)]}, indent=2))
    return {"ok": True, "problems": []}


def main(argv=None):
    parser = argparse.ArgumentParser(description="Resumes a HuggingFace Trainer from a checkpoint, or lets one write it.")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("resume")
    for name in ("model", "checkpoint", "rows", "out", "moments"):
        one.add_argument(name)
    one.add_argument("--schedule", default="cosine")
    one.add_argument("--warmup", type=int, default=0)
    one.set_defaults(run=resume)
    two = commands.add_parser("train")
    for name in ("model", "adapter", "rows", "out"):
        two.add_argument(name)
    two.set_defaults(run=train)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    try:
        report = args.run(args)
    except Exception as error:
        report = {"ok": False, "problems": [f"{type(error).__name__}: {error}"]}
    if args.run is resume:
        Path(args.out).write_text(json.dumps(report, indent=2, default=str) + "\n")
    print(json.dumps({"ok": report["ok"], "problems": report["problems"]}))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
