"""Drives `lorikeet serve` with the official Python client, whichever version is first on the path, and prints what came.

python tools/serve_sdk.py BASE_URL REQUEST.json OUT_DIR

REQUEST.json: {"baseModel", "rank", "seed", "data": [[token]], "prompt": [token], "tokenizer": bool}. The archive of the
sampler checkpoint is written to OUT_DIR. The last line of stdout is one JSON object; the test compares its numbers with
those of the TypeScript clients.
"""

import io
import json
import sys
import tarfile
import urllib.request
from pathlib import Path

import tinker
import torch
from tinker import types


def done(value):
    """Newer clients hand out a future of a client where older ones hand out the client."""
    return value.result() if "Future" in type(value).__name__ else value


def logprobs(output):
    return [list(map(float, o["logprobs"].data)) for o in output.loss_fn_outputs]


def datum(row, **inputs):
    """A sequence without its last token, which is a target only."""
    return types.Datum(model_input=types.ModelInput.from_ints(row[:-1]), loss_fn_inputs=inputs)


def refusal(work):
    """What an error says: its class and words, or null where there was none."""
    try:
        done(work())
    except Exception as error:  # noqa: BLE001  the class is what is wanted
        return [type(error).__name__, str(error)[:400]]
    return None


class Program:
    def __init__(self, base_url, request, out):
        self.request, self.out, self.seen = request, out, {}
        self.service = tinker.ServiceClient(base_url=base_url)
        self.data = [
            datum(row, target_tokens=row[1:], weights=[1.0] * (len(row) - 1)) for row in request["data"]
        ]

    def create(self):
        made = self.service.create_lora_training_client(
            base_model=self.request["baseModel"], rank=self.request["rank"], seed=self.request["seed"]
        )
        return done(made)

    def reinforced(self, q):
        rows = []
        for row, before in zip(self.request["data"], q, strict=True):
            advantages = [float(i - 1) for i in range(len(row) - 1)]
            rows.append(datum(row, target_tokens=row[1:], logprobs=before, advantages=advantages))
        return rows

    def step(self, client, name):
        """Both are sent before either is waited for."""
        passed = client.forward_backward(self.data, "cross_entropy")
        stepped = client.optim_step(types.AdamParams(learning_rate=0.01))
        self.seen[name] = [passed.result().metrics["loss:sum"], stepped.result().metrics]
        self.seen[f"{name} after"] = logprobs(client.forward(self.data, "cross_entropy").result())

    def train(self):
        client, seen = self.create(), self.seen
        info = client.get_info()
        seen["info"] = [info.model_data.model_name, info.is_lora, info.lora_rank]
        if self.request["tokenizer"]:
            tokenizer = client.get_tokenizer()
            seen["tokenizer"] = [len(tokenizer), tokenizer.encode("Hello there.", add_special_tokens=False)]
        first = client.forward(self.data, "cross_entropy").result()
        seen["forward"] = logprobs(first)
        rl = self.reinforced(seen["forward"])
        calls = [
            client.forward_backward(self.data, "cross_entropy"),
            client.optim_step(types.AdamParams(learning_rate=0.01)),
            client.forward_backward(rl, "importance_sampling"),
            client.forward_backward(rl, "ppo", {"clip_low_threshold": 0.9, "clip_high_threshold": 1.1}),
            client.optim_step(types.AdamParams(learning_rate=0.005, weight_decay=0.1, grad_clip_norm=0.5)),
            client.forward_backward(rl, "cispo"),
            client.forward_backward(rl, "dro", {"beta": 0.05}),
        ]
        results = [call.result() for call in calls]
        seen["calls"] = [
            [r.metrics.get("loss:sum"), logprobs(r)] if hasattr(r, "loss_fn_outputs") else r.metrics for r in results
        ]
        return client

    def custom(self):
        client = self.create()

        def squares(_, lists):
            return torch.cat(lists).square().mean(), {"mine": 1.0}

        loss = client.forward_backward_custom(self.data, squares).result()
        client.optim_step(types.AdamParams(learning_rate=0.005)).result()
        after = client.forward(self.data, "cross_entropy").result()
        self.seen["custom"] = [loss.metrics["mine"], logprobs(loss), logprobs(after)]

    def keep(self, client):
        state = client.save_state("half").result()
        self.seen["state path"] = state.path
        self.step(client, "straight")
        self.step(done(self.service.create_training_client_from_state_with_optimizer(state.path)), "with optimizer")
        self.step(done(self.service.create_training_client_from_state(state.path)), "weights alone")
        client.load_state_with_optimizer(state.path).result()
        self.step(client, "loaded with optimizer")
        client.load_state(state.path).result()
        self.step(client, "loaded weights alone")
        return state.path

    def sample(self, client):
        seen = self.seen
        named = client.save_weights_for_sampler("drawn").result()
        sampler = done(self.service.create_sampling_client(model_path=named.path))
        fresh = done(client.save_weights_and_get_sampling_client())
        base = done(self.service.create_sampling_client(base_model=self.request["baseModel"]))
        prompt = types.ModelInput.from_ints(self.request["prompt"])
        greedy = types.SamplingParams(max_tokens=6, temperature=0.0, seed=1)
        warm = types.SamplingParams(max_tokens=6, temperature=0.9, seed=5)
        for name, one in (("named", sampler), ("fresh", fresh), ("base", base)):
            answers = [
                one.sample(prompt, num_samples=1, sampling_params=greedy).result(),
                one.sample(prompt, num_samples=2, sampling_params=warm, include_prompt_logprobs=True).result(),
            ]
            seen[f"sample {name}"] = [
                [[s.stop_reason, list(s.tokens), list(map(float, s.logprobs))] for s in a.sequences] for a in answers
            ]
            seen[f"prompt {name}"] = answers[1].prompt_logprobs
        seen["computed"] = sampler.compute_logprobs(prompt).result()
        seeds = [types.SamplingParams(max_tokens=2, seed=i) for i in range(8)]
        many = [sampler.sample(prompt, num_samples=1, sampling_params=one) for one in seeds]
        seen["many"] = [list(a.result().sequences[0].tokens) for a in many]
        return named.path

    def archive(self, rest, path):
        run, _, name = path.removeprefix("tinker://").split("/")
        if hasattr(rest, "get_checkpoint_archive_url_from_tinker_path"):
            url = rest.get_checkpoint_archive_url_from_tinker_path(path).result().url
        else:  # Taken out of newer clients; the route is as it was.
            base = str(self.service.holder._base_url).rstrip("/")
            ask = f"{base}/api/v1/training_runs/{run}/checkpoints/sampler_weights/{name}/archive"
            url = urllib.request.build_opener(Stay).open(ask).headers["Location"]
        # As a browser would: without the key.
        data = urllib.request.urlopen(url).read()
        rest_of = urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=100-"}))
        self.seen["resumed"] = [rest_of.status, rest_of.read() == data[100:]]
        (self.out / "archive.tar").write_bytes(data)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.seen["archive"] = tar.getnames()

    def manage(self, state_path, sampler_path, with_archive):
        seen, rest = self.seen, self.service.create_rest_client()
        run = state_path.split("/")[2]
        seen["run"] = rest.get_training_run(run).result().base_model
        seen["runs"] = run in [r.training_run_id for r in rest.list_training_runs().result().training_runs]
        listed = rest.list_checkpoints(run).result().checkpoints
        seen["listed"] = sorted(c.checkpoint_id for c in listed)
        mine = rest.list_user_checkpoints().result().checkpoints
        seen["user list"] = state_path in [c.tinker_path for c in mine]
        info = rest.get_weights_info_by_tinker_path(state_path).result()
        seen["weights info"] = [info.base_model, info.is_lora, info.lora_rank]
        if with_archive:
            self.archive(rest, sampler_path)
        rest.set_checkpoint_ttl_from_tinker_path(state_path, 7200).result()
        rest.publish_checkpoint_from_tinker_path(state_path).result()
        row = next(c for c in rest.list_checkpoints(run).result().checkpoints if c.tinker_path == state_path)
        seen["kept"] = [row.public, row.expires_at is not None]
        rest.unpublish_checkpoint_from_tinker_path(state_path).result()
        rest.set_checkpoint_ttl_from_tinker_path(state_path, None).result()
        rest.delete_checkpoint_from_tinker_path(sampler_path).result()
        left = rest.list_checkpoints(run).result().checkpoints
        seen["left"] = sampler_path in [c.tinker_path for c in left]

    def refusals(self):
        client = self.create()
        wide = [datum([1, 2_000_000, 0], target_tokens=[1, 2], weights=[1.0, 1.0])]
        self.seen["refusals"] = {
            "token": refusal(lambda: client.forward_backward(wide, "cross_entropy").result()),
            "step after it": refusal(lambda: client.optim_step(types.AdamParams()).result()),
            "unknown path": refusal(lambda: self.service.create_training_client_from_state("tinker://nobody/weights/nothing")),
            "sampler path": refusal(
                lambda: self.service.create_sampling_client(model_path="tinker://nobody/sampler_weights/nothing")
            ),
            "bad name": refusal(lambda: client.save_state("../up").result()),
            "taken": refusal(lambda: [client.save_state("twice").result(), client.save_state("twice").result()]),
        }
        # The client and its model go on.
        self.step(client, "after refusals")


class Stay(urllib.request.HTTPErrorProcessor):
    """Follows no redirect: the answer is what is wanted."""

    def http_response(self, request, response):
        return response

    https_response = http_response


def main():
    base_url, request, out = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
    program = Program(base_url, request, out)
    client = program.train()
    state = program.keep(client)
    sampler = program.sample(client)
    program.manage(state, sampler, request["archive"])
    program.custom()
    program.refusals()
    program.seen["version"] = tinker.__version__
    print(json.dumps(program.seen))


main()
