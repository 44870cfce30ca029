"""Trains or samples an adapter with PEFT in float32, as the engine does on the same rows: the reference for SmolLM2.

usage: python tools/smollm2_reference.py MODEL_DIR DATA.jsonl OUT.json --init-adapter FOLDER
         [--steps 10] [--batch-size 1] [--max-length 128] [--lr 1e-4] [--weight-decay 0] [--grad-clip 0] [--save FOLDER]
       python tools/smollm2_reference.py MODEL_DIR DATA.jsonl OUT.json --make-adapter FOLDER [--rank 8] [--alpha 16]
       python tools/smollm2_reference.py MODEL_DIR DATA.jsonl OUT.json --generate --init-adapter FOLDER
         [--prompts FILE] [--max-tokens 32]

DATA.jsonl has rows {"prompt", "completion"} of plain text. As in TRL, a row is the ids of prompt and completion joined,
with the end token behind; the loss covers the completion and the end token; what is longer than --max-length is cut off.
Rows are taken in file order, wrapping at the end. OUT.json holds the losses, gradient norms and tokens of the steps, or
the greedy answers to five questions put as a chat (or those of --prompts, a JSON list of texts). --make-adapter
writes a fresh adapter as PEFT initialises it.
"""

import argparse
import json
from pathlib import Path

import peft
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# Questions whose greedy answers run for 32 tokens without a near tie (the lead of each token is 0.05 or more).
QUESTIONS = [
    "List the months of the year.",
    "Write the numbers from 1 to 15.",
    "Tell me a short story about a fox.",
    "List the planets of the solar system.",
    "List the days of the week.",
]


def read_rows(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()]


def encode(tokenizer, row, max_length):
    """Ids of prompt + completion + end token, and labels that cover what lies behind the ids of the prompt alone."""
    prompt = tokenizer.encode(row["prompt"])
    ids = tokenizer.encode(row["prompt"] + row["completion"])
    if ids[-1] != tokenizer.eos_token_id:
        ids.append(tokenizer.eos_token_id)
    labels = [-100] * len(prompt) + ids[len(prompt) :]
    return ids[:max_length], labels[:max_length]


def load_base(model_dir):
    """The frozen model, its stored weights cast to float32."""
    return AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)


def train(model, rows, args):
    """AdamW steps on the rows; the loss of a step is the mean over all its trained tokens."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.95), eps=1e-12, weight_decay=args.weight_decay)
    steps = []
    for step in range(args.steps):
        batch = [rows[(step * args.batch_size + i) % len(rows)] for i in range(args.batch_size)]
        trained = sum(t != -100 for _, labels in batch for t in labels[1:])
        if trained == 0:
            raise SystemExit(f"step {step + 1}: no token of its rows is trained; raise --max-length")
        optimizer.zero_grad()
        total = 0.0
        for ids, labels in batch:
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
            loss = F.cross_entropy(logits, torch.tensor(labels[1:]), reduction="sum") / trained
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(parameters, args.grad_clip or float("inf"))
        optimizer.step()
        tokens = sum(len(ids) for ids, _ in batch)
        steps.append({"step": step + 1, "loss": total, "gradNorm": norm.item(), "tokens": tokens, "trainedTokens": trained})
        print(json.dumps(steps[-1]), flush=True)
    return steps


def generate(model, tokenizer, prompts, count):
    """Greedy answers, and the smallest lead of a chosen token over the next best."""
    answers = []
    for prompt in prompts:
        chat = [{"role": "user", "content": prompt}]
        given = torch.tensor([tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)])
        out = model.generate(
            input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=count, do_sample=False,
            repetition_penalty=1.0, return_dict_in_generate=True, output_logits=True,
        )
        best = [logits[0].topk(2).values for logits in out.logits]
        tokens = out.sequences[0, given.shape[1] :].tolist()
        lead = min(float(b[0] - b[1]) for b in best)
        answers.append({"prompt": prompt, "promptTokens": given[0].tolist(), "tokens": tokens, "text": tokenizer.decode(tokens), "smallestLead": lead})
        print(json.dumps(answers[-1]), flush=True)
    return answers


def fresh_adapter(model_dir, args):
    """A new adapter on all linear layers: A random, B zero, from the seed."""
    torch.manual_seed(args.seed)
    config = LoraConfig(r=args.rank, lora_alpha=args.alpha, lora_dropout=0.0, target_modules=PROJECTIONS, task_type="CAUSAL_LM")
    get_peft_model(load_base(model_dir), config).save_pretrained(args.make_adapter)


def main():
    parser = argparse.ArgumentParser(description="Trains or samples an adapter with PEFT in float32.")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--init-adapter")
    parser.add_argument("--make-adapter")
    parser.add_argument("--generate", action="store_true")
    parser.add_argument("--save")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--grad-clip", type=float, default=0.0)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompts")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.utils.logging.disable_progress_bar()
    report = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}}
    if args.make_adapter:
        fresh_adapter(args.model, args)
        report["adapter"] = args.make_adapter
    elif args.init_adapter:
        tokenizer = AutoTokenizer.from_pretrained(args.model)
        model = PeftModel.from_pretrained(load_base(args.model), args.init_adapter, is_trainable=not args.generate).eval()
        if args.generate:
            prompts = json.loads(Path(args.prompts).read_text()) if args.prompts else QUESTIONS
            report["answers"] = generate(model, tokenizer, prompts, args.max_tokens)
        else:
            rows = read_rows(args.data)
            report["steps"] = train(model, [encode(tokenizer, row, args.max_length) for row in rows], args)
            if args.save:
                model.save_pretrained(args.save)
    else:
        parser.error("--init-adapter or --make-adapter is needed")
    Path(args.out).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
