"""Runs tinker-cookbook's own supervised training loop against `lorikeet serve`, stops it half way, and resumes it.

python tools/serve_recipe.py BASE_URL MODEL_FOLDER ROWS.jsonl LOG_DIR

MODEL_FOLDER is the base model's name on the server too, so the cookbook finds the tokenizer where it looks for it. The last
line of stdout is one JSON object: the losses per step as the cookbook logged them, and its checkpoints.
"""

import asyncio
import json
import sys
from pathlib import Path

import tinker
from tinker_cookbook import checkpoint_utils
from tinker_cookbook.renderers import TrainOnWhat
from tinker_cookbook.supervised import train
from tinker_cookbook.supervised.data import FromConversationFileBuilder
from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig


def config(base_url, model, rows, log, steps):
    common = ChatDatasetBuilderCommonConfig(
        model_name_for_tokenizer=model,
        renderer_name="role_colon",
        max_length=256,
        batch_size=4,
        train_on_what=TrainOnWhat.ALL_ASSISTANT_MESSAGES,
    )
    return train.Config(
        log_path=str(log),
        model_name=model,
        recipe_name="recipe_sl_basic",
        renderer_name="role_colon",
        dataset_builder=FromConversationFileBuilder(common_config=common, file_path=rows),
        learning_rate=2e-3,
        lr_schedule="constant",
        num_epochs=2,
        lora_rank=8,
        base_url=base_url,
        save_every=2,
        eval_every=0,
        infrequent_eval_every=0,
        max_steps=steps,
        # Sent ahead, a batch would be in the checkpoint of the one before it.
        submit_ahead=0,
    )


def logged(log):
    rows = [json.loads(line) for line in (log / "metrics.jsonl").read_text().splitlines()]
    return [[r["step"], r["train_mean_nll"]] for r in rows if "train_mean_nll" in r]


def main():
    base_url, model, rows, root = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
    first, second = root / "first", root / "second"
    asyncio.run(train.main(config(base_url, model, rows, first, 6)))
    # The same again from the checkpoint of step 2, as after a crash: the cookbook resumes from its own record. It notes the
    # batch that the checkpoint has seen as the next one, and would train it twice; the test names the one behind it.
    second.mkdir(parents=True)
    records = [json.loads(line) for line in (first / "checkpoints.jsonl").read_text().splitlines()]
    half = next(r for r in records if r["name"] == "000002")
    half = {**half, "batch": half["batch"] + 1}
    (second / "checkpoints.jsonl").write_text(json.dumps(half) + "\n")
    asyncio.run(train.main(config(base_url, model, rows, second, 6)))
    final = checkpoint_utils.get_last_checkpoint(str(first), required_key="sampler_path")
    sampler = tinker.ServiceClient(base_url=base_url).create_sampling_client(model_path=final.sampler_path).result()
    tokenizer = sampler.get_tokenizer()
    prompt = tinker.types.ModelInput.from_ints(tokenizer.encode("User: Who are you?\n\nAssistant:"))
    drawn = sampler.sample(prompt, num_samples=1, sampling_params=tinker.types.SamplingParams(max_tokens=8, temperature=0.0))
    tokens = list(drawn.result().sequences[0].tokens)
    print(
        json.dumps(
            {
                "straight": logged(first),
                "resumed": logged(second),
                "records": records,
                "tokens": tokens,
                "text": tokenizer.decode(tokens),
            }
        )
    )


main()
