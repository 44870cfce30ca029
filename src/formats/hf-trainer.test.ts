import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerDict } from './hf-scheduler.ts';
import { hasTrainerState, hfTrainerEntries } from './hf-trainer.ts';
import { llamaPaths, testAdapter } from './testing-adapter.ts';
import {
  adapter,
  codeWith,
  exported,
  filesOf,
  groupOf,
  pt,
  read,
  rootDict,
  stateOf,
  utf8,
} from './testing-hf.ts';
import { codeOf } from './testing.ts';
import type { TorchDict, TorchValue } from './torch-values.ts';

const INVALID = 'STATE_INVALID';
const INCOMPLETE = 'STATE_INCOMPLETE';
const UNSUPPORTED = 'STATE_UNSUPPORTED';

describe('what is written', () => {
  it('comes back to the last bit', async () => {
    const { adapter: _, ...state } = exported();
    const back = await read(await filesOf(), adapter, { ordered: true });
    expect(back).toEqual({ ...state, notes: [] });
  });

  it('has the structures that Trainer has', () => {
    const root = rootDict();
    expect([...root.keys()]).toEqual(['state', 'param_groups']);
    expect([...stateOf(root, 0n).keys()]).toEqual(['step', 'exp_avg', 'exp_avg_sq']);
    expect(stateOf(root, 0n).get('step')).toMatchObject({ dtype: 'F32', shape: [] });
    const keys =
      'weight_decay lr betas eps amsgrad maximize foreach capturable differentiable fused decoupled_weight_decay initial_lr params';
    for (const index of [0, 1]) expect([...groupOf(root, index).keys()].join(' ')).toBe(keys);
    expect(groupOf(root, 0).get('params')).toEqual(adapter.tensors.map((_, i) => BigInt(i)));
    expect(groupOf(root, 0).get('weight_decay')).toBe(0.01);
    expect(groupOf(root, 1).get('params')).toEqual([]);
    expect(groupOf(root, 1).get('weight_decay')).toBe(0);
    expect(schedulerDict({ position: 10, peakLearningRate: 1e-3, learningRate: 5e-4 })).toEqual(
      new Map<string, TorchValue>([
        ['base_lrs', [1e-3, 1e-3]],
        ['last_epoch', 10n],
        ['_step_count', 11n],
        ['_is_initial', false],
        ['_get_lr_called_within_step', false],
        ['_last_lr', [5e-4, 5e-4]],
        ['lr_lambdas', [new Map(), new Map()]],
      ]),
    );
  });

  it('writes JSON that every parser reads, and only keys that Trainer knows', async () => {
    const json = JSON.parse(new TextDecoder().decode((await filesOf()).get('trainer_state.json'))) as object;
    expect(Object.keys(json).join(' ')).toBe(
      'best_metric best_model_checkpoint epoch eval_steps global_step is_hyper_param_search is_local_process_zero is_world_process_zero log_history logging_steps max_steps num_input_tokens_seen num_train_epochs save_steps stateful_callbacks total_flos train_batch_size trial_name trial_params',
    );
    expect(json).toMatchObject({
      global_step: 10,
      max_steps: 20,
      num_train_epochs: 1,
      log_history: [{ step: 9 }, { step: 10 }],
    });
    expect(await codeOf(() => hfTrainerEntries(exported({ log: [{ step: 1, loss: NaN }] })))).toBe(INVALID);
  });

  it('numbers parameters in the order of the adapter, whatever its names sort to', async () => {
    const many = testAdapter({}, llamaPaths(12));
    const state = exported({}, many);
    const { moments } = await read(await filesOf(state), many);
    expect(moments).toEqual(state.moments);
    const { moments: first } = exported();
    const swapped = { ...first, expAvg: [...first.expAvg.slice(1), ...first.expAvg.slice(0, 1)] };
    expect(await codeOf(() => hfTrainerEntries(exported({ moments: swapped })))).toBe(INVALID);
  });
});

describe('107: trainer_state.json', () => {
  const text = async () => new TextDecoder().decode((await filesOf()).get('trainer_state.json'));
  const changed = async (from: string | RegExp, to: string) =>
    codeWith({ 'trainer_state.json': (await text()).replace(from, to) });

  it('with an unknown key, or the wrong kind of value, is refused', async () => {
    expect(await changed('"epoch"', '"new_key": 1, "epoch"')).toBe(INVALID);
    expect(await changed('"global_step": 10', '"global_step": 10.5')).toBe(INVALID);
    expect(await changed('"global_step": 10', '"global_step": "10"')).toBe(INVALID);
    expect(await changed('"global_step": 10', '"global_step": NaN')).toBe(INVALID);
    expect(await changed('"global_step": 10', '"global_step": 9')).toBe(INVALID);
    expect(await changed('"global_step": 10', '"global_step": 21')).toBe(INVALID);
    expect(await changed('"best_metric": 0.5', '"best_metric": "x"')).toBe(INVALID);
    expect(await changed(/"log_history": \[[^\]]*\]/, '"log_history": {}')).toBe(INVALID);
    expect(await changed(/"log_history": \[[^\]]*\]/, '"log_history": [1]')).toBe(INVALID);
    expect(await changed(/"log_history": \[[^\]]*\]/, '"log_history": [{}]')).toBe(INVALID);
    expect(await changed(/"log_history": \[[^\]]*\]/, '"log_history": [{"step":11}]')).toBe(INVALID);
    expect(await changed(/"log_history": \[[^\]]*\],/, '')).toBe('no error');
    expect(await codeWith({ 'trainer_state.json': '[]' })).toBe(INVALID);
  });

  it('with the NaN and Infinity of Python is read, and says which figures were left out', async () => {
    const files = await filesOf();
    const odd = (await text())
      .replace('"loss": 1.5', '"loss": NaN, "grad_norm": -Infinity')
      .replace('"best_metric": 0.5', '"best_metric": Infinity');
    const back = await read(files.set('trainer_state.json', utf8(odd)), adapter, { ordered: true });
    expect(back.log[0]).toEqual({ step: 9, learning_rate: 6e-4, epoch: 0.45 });
    expect(back.bestMetric).toBeNull();
    expect(back.notes).toEqual(['Figures that are not numbers were left out: best_metric, grad_norm, loss.']);
  });

  it('with a huge log is refused by its size', async () => {
    const huge = utf8(' '.repeat(64 * 2 ** 20 + 1));
    expect(await codeWith({ 'trainer_state.json': huge })).toBe('INPUT_TOO_LARGE');
  });
});

describe('108: scheduler.pt', () => {
  const scheduler = async (change: (state: TorchDict) => void) => {
    const state = schedulerDict({ position: 10, peakLearningRate: 1e-3, learningRate: 5e-4 });
    change(state);
    return codeWith({ 'scheduler.pt': await pt('scheduler.pt', state) });
  };

  it('is refused without lr_lambdas, and where it does not fit', async () => {
    expect(await scheduler((state) => state.set('verbose', false))).toBe('no error');
    expect(await scheduler((state) => state.delete('lr_lambdas'))).toBe(INCOMPLETE);
    expect(await scheduler((state) => state.set('lr_lambdas', [null]))).toBe(INVALID);
    expect(await scheduler((state) => state.set('lr_lambdas', [null, null]))).toBe('no error');
    expect(await scheduler((state) => state.delete('base_lrs'))).toBe(INCOMPLETE);
    expect(await scheduler((state) => state.set('base_lrs', [1e-3]))).toBe(INVALID);
    expect(await scheduler((state) => state.set('base_lrs', [1e-3, 2e-3]))).toBe(UNSUPPORTED);
    expect(await scheduler((state) => state.set('_last_lr', [5e-4, 0]))).toBe(UNSUPPORTED);
    expect(await scheduler((state) => state.set('_last_lr', [NaN, NaN]))).toBe(INVALID);
    expect(await scheduler((state) => state.set('last_epoch', 9n))).toBe(INVALID);
    expect(await scheduler((state) => state.set('last_epoch', -1n))).toBe(INVALID);
    expect(await scheduler((state) => state.set('last_epoch', 10))).toBe(INVALID);
    expect(await scheduler((state) => state.set('num_bad_epochs', 0n))).toBe(UNSUPPORTED);
    expect(await scheduler((state) => state.set('_schedulers', []))).toBe(UNSUPPORTED);
    expect(await codeWith({ 'scheduler.pt': await pt('scheduler.pt', null) })).toBe(INVALID);
  });

  it('must be of the same run as the optimizer', async () => {
    const at = (position: number, learningRate: number) =>
      pt('scheduler.pt', schedulerDict({ position, peakLearningRate: 1e-3, learningRate }));
    expect(await codeWith({ 'scheduler.pt': await at(10, 4e-4) })).toBe(INVALID);
    expect(await codeWith({ 'scheduler.pt': await at(11, 5e-4) })).toBe(INVALID);
    expect(await codeWith({ 'scheduler.pt': await at(9, 5e-4) })).toBe(UNSUPPORTED);
    const late = await codeOf(async () => read(await filesOf(exported({ optimizerStep: 11 }))));
    expect(late).toBe(INVALID);
  });

  it('may be behind the run together with the optimizer: mixed precision skips steps', async () => {
    const back = await read(await filesOf(exported({ optimizerStep: 8 })), adapter, { ordered: true });
    expect(back).toMatchObject({ step: 10, optimizerStep: 8 });
    expect(back.notes.join()).toContain('8 of 10 steps');
  });
});

describe('the folder', () => {
  it('is incomplete without one of the three files', async () => {
    for (const name of ['optimizer.pt', 'scheduler.pt', 'trainer_state.json']) {
      expect(await codeWith({ [name]: null }), name).toBe(INCOMPLETE);
    }
    expect(hasTrainerState(['adapter_config.json'])).toBe(false);
    expect(hasTrainerState(['optimizer.pt'])).toBe(true);
  });

  it('may hold what is not needed, which is said', async () => {
    const files = await filesOf();
    for (const name of ['rng_state.pth', 'rng_state_0.pth', 'training_args.bin', 'scaler.pt'])
      files.set(name, utf8('never read'));
    const { notes } = await read(files, adapter, { ordered: true });
    expect(notes).toHaveLength(4);
    expect(notes.join()).toContain('training_args.bin is ignored');
  });

  it('of accelerate, DeepSpeed or FSDP is refused by name', async () => {
    for (const [name, word] of [
      ['optimizer.bin', 'accelerate'],
      ['scheduler.bin', 'accelerate'],
      ['optimizer_1.bin', 'accelerate'],
      ['random_states_0.pkl', 'accelerate'],
      ['custom_checkpoint_0.pkl', 'accelerate'],
      ['zero_to_fp32.py', 'DeepSpeed'],
      ['global_step10/mp_rank_00_model_states.pt', 'DeepSpeed'],
      ['pytorch_model_fsdp_0/__0_0.distcp', 'FSDP'],
    ] as const) {
      expect(hasTrainerState([name]), name).toBe(true);
      const files = new Map([[name, utf8('x')]]);
      const message = await read(files).catch((error: Error) => error.message);
      expect(message).toContain(word);
    }
  });

  it('damage anywhere gives the state or a typed refusal (property)', async () => {
    const small = testAdapter({}, { 'model.layers.0.mlp.down_proj': [3, 2] });
    const files = await filesOf(exported({}, small));
    const right = await read(files, small);
    const codes = [INVALID, INCOMPLETE, UNSUPPORTED, 'TORCH_FILE_INVALID', 'JSON_INVALID'];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('optimizer.pt', 'scheduler.pt'),
        fc.nat(),
        fc.nat(7),
        fc.boolean(),
        async (name, place, bit, cut) => {
          const bytes = (files.get(name) ?? new Uint8Array(0)).slice();
          const at = place % bytes.byteLength;
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          const damaged = new Map(files).set(name, cut ? bytes.slice(0, at) : bytes);
          const outcome = await read(damaged, small).catch((error: unknown) => error);
          expect(outcome instanceof Error ? codes : [right]).toContainEqual(
            outcome instanceof Error ? await codeOf(() => read(damaged, small)) : outcome,
          );
        },
      ),
      { numRuns: 600 },
    );
  });
});
