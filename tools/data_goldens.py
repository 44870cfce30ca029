"""Writes the fixtures of src/data from real transformers and tokenizers: token ids, chat renderings and loss masks.

usage: python tools/data_goldens.py [--smollm2 FOLDER]          (run by hand; the results are committed)

Writes in src/data/fixtures/:
  byte-bpe.tokenizer.json       a small GPT-2-like byte-level BPE, trained here on our own word list and texts
  sentencepiece.tokenizer.json  a small Llama-like BPE with byte fallback, trained on the same
  tokenizer-goldens.json        texts, and their ids by every tokenizer variant
  chat-goldens.json             templates, conversations, their renderings, token ids and masks
  smollm2-goldens.json          the same for SmolLM2-135M-Instruct; only with --smollm2

Made with transformers 5.23.0, tokenizers 0.23.3, Jinja2 3.1.6.
"""
import argparse, json, os, sys, tempfile
from datetime import datetime

os.environ["HF_HUB_OFFLINE"] = "1"
import jinja2, tokenizers, transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

from data_cases import CONVERSATIONS, FLAG_TEXTS, TEMPLATES, TEXTS, chat

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
OUT = os.path.join(ROOT, "src", "data", "fixtures")
EMBEDDED = os.path.join(ROOT, "public", "models", "lorikeet-tiny")
VERSIONS = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "jinja2": jinja2.__version__}

def train_byte_bpe(corpus):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>", "<|system|>", "<s>", "</s>"]
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=1400, special_tokens=special, show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return json.loads(t.to_str())


def train_sentencepiece(corpus):
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=1000, special_tokens=special, show_progress=False, limit_alphabet=100, max_token_length=14))
    j = json.loads(t.to_str())
    j["added_tokens"] = j["added_tokens"][:3]  # as in Llama's file, the byte tokens are ordinary ones
    return j


def corpus():
    words = open(os.path.join(HERE, "default-model", "words.txt")).read().split()
    lines = [" ".join(words[i:i + 12]) + "." for i in range(0, len(words), 12)]
    lines += open(os.path.join(HERE, "default-model", "corpus.py")).read().split("\n") + TEXTS
    # Enough of what Rust and JavaScript see as white space in different ways to be merged into tokens.
    return lines + ["a \ufeff!\n\u0085\n\u0085 b", "10\u00bd\u00b22 \u0663\u0664"] * 60


# --- tokenizer variants: the two trained files with other parts, as the model families use them ------------------------
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
NO_REGEX = {**BYTE_LEVEL, "use_regex": False}


def split(regex):
    return {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}, NO_REGEX]}


def added(id, content, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}


def bos_template(token, id):
    seq = {"Sequence": {"id": "A", "type_id": 0}}
    return {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": token, "type_id": 0}}, seq],
            "pair": [seq, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}}}


def variants(byte_bpe, sentencepiece):
    fast = {"tokenizer_class": "PreTrainedTokenizerFast"}
    gpt = {**fast, "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    chatml = {**fast, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    llama = {**fast, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    size = len(byte_bpe["model"]["vocab"])
    b, s = "byte-bpe", "sentencepiece"
    model = {**byte_bpe["model"], "vocab": {}, "merges": []}
    flags = [added(size, "<mask>", lstrip=True), added(size + 1, "<right>", rstrip=True),
             added(size + 2, "<left>", lstrip=True, rstrip=True), added(size + 3, "norm", normalized=True, special=False)]
    return [
        ("gpt2", b, {}, gpt),
        ("gpt2-prefix-space", b, {"pre_tokenizer": {**BYTE_LEVEL, "add_prefix_space": True}}, gpt),
        ("digits", b, {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}}, chatml),
        ("digit-runs", b, {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": False}, BYTE_LEVEL]}}, chatml),
        ("qwen", b, {"normalizer": {"type": "NFC"}, "pre_tokenizer": split(QWEN)}, chatml),
        ("llama3", b, {"pre_tokenizer": split(LLAMA3), "model": {**model, "ignore_merges": True},
                       "post_processor": {"type": "Sequence", "processors": [{**BYTE_LEVEL, "trim_offsets": False}, bos_template("<s>", byte_bpe["model"]["vocab"]["<s>"])]}},
         {**fast, "bos_token": "<s>", "eos_token": "<|im_end|>"}),
        ("added-flags", b, {"added_tokens": byte_bpe["added_tokens"] + flags, "normalizer": {"type": "Replace", "pattern": {"String": "N"}, "content": "n"}}, chatml),
        ("specials-from-config", b, {"added_tokens": byte_bpe["added_tokens"][:1]}, {**chatml, "additional_special_tokens": ["<|im_start|>"], "bos_token": "<s>", "add_bos_token": True, "add_eos_token": True}),
        ("llama", s, {"post_processor": bos_template("<s>", 1)}, llama),
        ("llama-no-bos", s, {"post_processor": bos_template("<s>", 1)}, {**llama, "add_bos_token": False}),
        ("metaspace-first", s, {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}}, {**llama, "add_bos_token": True}),
        ("metaspace-split", s, {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}}, llama),
    ]


def apply(base, patch):
    """The base file with whole parts replaced; of `model`, single fields (vocab and merges stay)."""
    out = {**base, **{k: v for k, v in patch.items() if k != "model"}}
    if "model" in patch:
        out["model"] = {**base["model"], **{k: v for k, v in patch["model"].items() if k not in ("vocab", "merges")}}
    return out


def load(tokenizer_json, config, template=None):
    with tempfile.TemporaryDirectory() as d:
        json.dump(tokenizer_json, open(os.path.join(d, "tokenizer.json"), "w"))
        json.dump({**config, **({"chat_template": template} if template else {})}, open(os.path.join(d, "tokenizer_config.json"), "w"))
        return AutoTokenizer.from_pretrained(d)


def encode_all(tok, texts):
    rows = []
    for text in texts:
        ids = tok(text, add_special_tokens=False)["input_ids"]
        rows.append({"ids": ids, "special": tok(text)["input_ids"][:1] + tok(text)["input_ids"][-1:],
                     "decoded": tok.decode(ids), "skipped": tok.decode(ids, skip_special_tokens=True)})
    return rows


NOW = datetime(2026, 3, 7, 15, 4, 5)


class FixedDate(datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def token_mask(spans, offsets):
    return [int(any(a < e and b > s for s, e in spans)) for a, b in offsets]


def assistant_mask(tok, messages, full, ids, offsets, special_ids):
    """The mask by incremental rendering: None where an assistant turn's renderings are no prefixes of the whole one."""
    spans = []
    for i, m in enumerate(messages):
        if m["role"] != "assistant":
            continue
        before = tok.apply_chat_template(messages[:i], tokenize=False, add_generation_prompt=True)
        after = tok.apply_chat_template(messages[:i + 1], tokenize=False)
        if not (after.startswith(before) and full.startswith(after)):
            return None
        spans.append((len(before), len(after)))
    mask = token_mask(spans, offsets)
    for start, end in spans:  # white space after the turn's closing token is no part of the turn
        inside = [k for k, (a, b) in enumerate(offsets) if a < end and b > start]
        special = [k for k in inside if ids[k] in special_ids]
        if special and not full[offsets[special[-1]][1]:end].strip():
            for k in inside:
                mask[k] &= k <= special[-1]
    return mask


def chat_goldens(load_with, templates, conversations):
    out = []
    for name, template in templates.items():
        tok = load_with(template)
        special_ids = set(tok.added_tokens_decoder)
        for conversation, messages in conversations.items():
            case = {"template": name, "conversation": conversation}
            out.append(case)
            try:
                full = tok.apply_chat_template(messages, tokenize=False)
            except (jinja2.exceptions.TemplateError, TypeError) as e:
                case["error"] = str(e)
                continue
            case["text"] = full
            case["prompt"] = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            got = tok(full, add_special_tokens=False, return_offsets_mapping=True)
            case["ids"] = got["input_ids"]
            if "generation" in name:
                masked = tok.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
                assert masked["input_ids"] == case["ids"]
                case["mask"] = masked["assistant_masks"]
            else:
                try:
                    case["mask"] = assistant_mask(tok, messages, full, case["ids"], got["offset_mapping"], special_ids)
                except jinja2.exceptions.TemplateError as e:
                    case["mask"] = None
    # Turns that the template renders unlike the last one: their twin with tags gives the masks, where it shows them whole.
    masks = {(c["template"], c["conversation"]): c.get("mask") for c in out}
    for case in out:
        whole = all(m["content"] in case.get("text", "") for m in conversations[case["conversation"]])
        if case.get("mask", 0) is None and whole:
            case["mask"] = masks.get((case["template"] + "-generation", case["conversation"]))
    return out


# --- rows as TRL's SFTTrainer makes them: end token appended to the text, prompt masked by its own token count --------------
TRL_ROWS = [
    {"prompt": "What is the colour of the sky?", "completion": "Blue."}, {"prompt": "Count: ", "completion": "1 2 3"},
    {"prompt": "Fus", "completion": "ed words"}, {"prompt": "Ends already", "completion": " so.<EOS>"}, {"prompt": "", "completion": "No prompt"},
    {"prompt": "Nothing follows", "completion": ""}, {"prompt": "emoji 😀", "completion": "🚀\n\nnew"}, {"prompt": "line\n", "completion": "\nline"},
    {"text": "A whole text."}, {"text": "Ends already<EOS>"}, {"text": " \n"},
]


def trl_goldens(tok):
    out, eos = [], tok.eos_token
    for row in TRL_ROWS:
        row = {k: v.replace("<EOS>", eos) for k, v in row.items()}
        key = "text" if "text" in row else "completion"
        closed = row[key] if row[key].endswith(eos) else row[key] + eos
        prompt = tok(row["prompt"])["input_ids"] if "prompt" in row else []
        ids = tok(row.get("prompt", "") + closed)["input_ids"]
        mask = [1] * len(ids) if "text" in row else [0] * len(prompt) + [1] * (len(ids) - len(prompt))
        out.append({"row": row, "ids": ids, "mask": mask[:len(ids)], "prefix": ids[:len(prompt)] == prompt})
    return out


def write(name, value):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    print(name, os.path.getsize(os.path.join(OUT, name)), "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm2", help="folder of SmolLM2-135M-Instruct")
    args = parser.parse_args()
    chat_template_utils.datetime = FixedDate  # templates that print the date see a fixed one
    os.makedirs(OUT, exist_ok=True)

    byte_bpe, sentencepiece = train_byte_bpe(corpus()), train_sentencepiece(corpus())
    write("byte-bpe.tokenizer.json", byte_bpe)
    write("sentencepiece.tokenizer.json", sentencepiece)
    bases = {"byte-bpe": byte_bpe, "sentencepiece": sentencepiece}

    sets, trl = [], []
    for name, base, patch, config in variants(byte_bpe, sentencepiece):
        tok = load(apply(bases[base], patch), config)
        texts = TEXTS + (FLAG_TEXTS if name == "added-flags" else [])
        sets.append({"name": name, "base": base, "patch": patch, "config": config, "eosId": tok.eos_token_id, "bosId": tok.bos_token_id,
                     "padId": tok.pad_token_id, "size": len(tok), "rows": encode_all(tok, texts)})
        if name in ("gpt2", "qwen", "llama"):
            trl.append({"tokenizer": name, "rows": trl_goldens(tok)})
    embedded = AutoTokenizer.from_pretrained(EMBEDDED)
    write("tokenizer-goldens.json", {"versions": VERSIONS, "texts": TEXTS, "flagTexts": FLAG_TEXTS, "sets": sets,
                                     "embedded": {"size": len(embedded), "eosId": embedded.eos_token_id, "bosId": embedded.bos_token_id,
                                                  "padId": embedded.pad_token_id, "rows": encode_all(embedded, TEXTS)}, "trl": trl})

    def with_byte_bpe(template):
        return load(byte_bpe, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<|endoftext|>"}, template)

    def with_sentencepiece(template):
        return load(sentencepiece, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, template)

    two = {k: TEMPLATES[k] for k in ("role-lines", "inst")}
    write("chat-goldens.json", {"versions": VERSIONS, "now": NOW.isoformat(), "templates": TEMPLATES, "conversations": CONVERSATIONS,
                                "byteBpe": chat_goldens(with_byte_bpe, TEMPLATES, CONVERSATIONS),
                                "sentencepiece": chat_goldens(with_sentencepiece, two, CONVERSATIONS),
                                "embedded": chat_goldens(lambda _: embedded, {"embedded": None}, CONVERSATIONS)})
    if args.smollm2:
        smol = AutoTokenizer.from_pretrained(args.smollm2)
        gsm8k = [json.loads(line) for line in open(os.path.join(ROOT, "..", "shared", "data", "gsm8k-400.jsonl"))][:20]
        ids = [[smol(r["prompt"])["input_ids"], smol(r["prompt"] + r["completion"] + smol.eos_token)["input_ids"]] for r in gsm8k]
        write("smollm2-goldens.json", {"versions": VERSIONS, "rows": encode_all(smol, TEXTS), "eosId": smol.eos_token_id, "bosId": smol.bos_token_id,
                                       "padId": smol.pad_token_id, "size": len(smol), "conversations": CONVERSATIONS,
                                       "chats": chat_goldens(lambda _: smol, {"smollm2": None}, CONVERSATIONS),
                                       "gsm8k": [{"promptLength": len(p), "ids": full} for p, full in ids]})


if __name__ == "__main__":
    sys.exit(main())
