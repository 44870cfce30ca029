"""Fine-tunes the embedded model on a demo data set with PEFT and prints losses and answers before and after.

usage: python tools/datasets/measure.py pirate [--lr 4e-3 --epochs 3 --split 0.1 --schedule constant --seed 0]

It shows that a demo set can be learned within the studio's default settings, independently of the engine.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, get_scheduler

ROOT = Path(__file__).resolve().parents[2]
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def encode(tokenizer, row):
    """Token ids of a conversation and labels that cover assistant turns with their end token only."""
    ids, labels = [], []
    for message in row["messages"]:
        head = tokenizer.encode(f"<|im_start|>{message['role']}\n")
        body = tokenizer.encode(message["content"] + "<|im_end|>")
        tail = tokenizer.encode("\n")
        trained = message["role"] == "assistant"
        ids += head + body + tail
        labels += [-100] * len(head) + (body if trained else [-100] * len(body)) + [-100] * len(tail)
    return ids, labels


def batch_loss(model, rows):
    """Mean loss over all trained tokens of the rows, and how many they are."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([i + [3] * (width - len(i)) for i, _ in rows])
    labels = torch.tensor([t + [-100] * (width - len(t)) for _, t in rows])
    logits = model(input_ids=ids).logits[:, :-1]
    targets = labels[:, 1:]
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), int((targets != -100).sum())


def evaluate(model, rows):
    """Mean loss per trained token, without dropout or gradients."""
    with torch.no_grad():
        parts = [batch_loss(model, rows[i : i + 8]) for i in range(0, len(rows), 8)]
    return sum(float(loss) * n for loss, n in parts) / sum(n for _, n in parts)


def answer(model, tokenizer, prompt):
    """The greedy answer to a prompt."""
    text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.tensor([tokenizer.encode(text)])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=48, do_sample=False)
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("set")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--split", type=float, default=0.1)
    parser.add_argument("--schedule", default="constant")
    parser.add_argument("--warmup", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no answers, only losses")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    folder = ROOT / "public" / "models" / "lorikeet-tiny"
    entry = next(e for e in json.loads((ROOT / "public/datasets/index.json").read_text()) if e["id"] == args.set)
    raw = [json.loads(line) for line in (ROOT / "public/datasets" / entry["file"]).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [(*encode(tokenizer, row), row["messages"][0]["content"]) for row in raw]
    order = random.Random(args.seed)
    order.shuffle(rows)
    held = rows[: max(1, round(len(rows) * args.split))]
    train = [(ids, labels) for ids, labels, _ in rows[len(held) :]]
    held_rows = [(ids, labels) for ids, labels, _ in held]
    prompts = [entry["samplePrompt"]] + [prompt for _, _, prompt in held[:6]] + ["What is the rabbit eating?", "Who is Ben?"]

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=LINEAR, task_type="CAUSAL_LM"))
    before = [answer(model, tokenizer, p) for p in prompts]
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=args.lr, betas=(0.9, 0.95), eps=1e-12, weight_decay=0.0)
    per_epoch = -(-len(train) // 8)
    schedule = get_scheduler(args.schedule, optimizer, num_warmup_steps=args.warmup, num_training_steps=per_epoch * args.epochs)
    losses, evals, start = [], [evaluate(model, held_rows)], time.time()
    for _ in range(args.epochs):
        order.shuffle(train)
        for i in range(0, len(train), 8):
            loss, _ = batch_loss(model, train[i : i + 8])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        evals.append(evaluate(model, held_rows))
    tokens = sum(len(ids) for ids, _ in train) / len(train)
    print(f"{args.set} lr {args.lr} {args.schedule}: {len(train)} rows, {len(held)} held out, {tokens:.1f} tokens a row, longest {max(len(i) for i, _ in train)}, {len(losses)} steps, {time.time() - start:.1f} s")
    print("evaluation loss", " -> ".join(f"{e:.3f}" for e in evals), f"(x{evals[-1] / evals[0]:.3f}); training loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    if args.quiet:
        return
    for prompt, old in zip(prompts, before):
        print(f"  {prompt}\n    before: {old}\n    after:  {answer(model, tokenizer, prompt)}")


if __name__ == "__main__":
    main()
