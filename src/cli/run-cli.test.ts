import { describe, expect, test } from 'vitest';
import { StudioError } from '../errors.ts';
import type { EvaluateOptions, FinetuneOptions, GenerateOptions } from './options.ts';
import type { CheckpointCommands } from './checkpoints/program.ts';
import { errorLine, runCli } from './run-cli.ts';

/** What a command line did: which command it ran with what, what it printed, and its exit code. */
interface Outcome {
  code: number;
  out: string;
  err: string;
  ran: { command: string; options: object } | null;
}

/** Every command over checkpoints, told with its arguments. */
function keptCommands(told: (command: string, rest: unknown[]) => Promise<void>): CheckpointCommands {
  const tell =
    (command: string) =>
    (...rest: unknown[]): Promise<void> =>
      told(command, rest);
  return {
    list: tell('list'),
    show: tell('show'),
    tag: tell('tag'),
    pin: tell('pin'),
    note: tell('note'),
    rename: tell('rename'),
    ttl: tell('ttl'),
    remove: tell('remove'),
    bin: tell('bin'),
    restore: tell('restore'),
    prune: tell('prune'),
    export: tell('export'),
    import: tell('import'),
    verify: tell('verify'),
    compare: tell('compare'),
  };
}

async function cli(...argv: string[]): Promise<Outcome> {
  const outcome: Outcome = { code: -1, out: '', err: '', ran: null };
  const note =
    (command: string) =>
    (options: object): Promise<void> => {
      outcome.ran = { command, options };
      return Promise.resolve();
    };
  const commands = {
    finetune: note('finetune'),
    generate: note('generate'),
    evaluate: note('evaluate'),
    devices: note('devices'),
    relay: note('relay'),
    serve: note('serve'),
    examples: { rl: note('example rl'), dpo: note('example dpo') },
    inspect: (path: string, options: object) => note('inspect')({ path, ...options }),
    verifyResume: note('verify-resume'),
    checkpoints: keptCommands((command, rest) => note(`checkpoints ${command}`)({ rest })),
  };
  outcome.code = await runCli(argv, '1.2.3', commands, {
    out: (text) => (outcome.out += text),
    err: (text) => (outcome.err += text),
  });
  return outcome;
}

const FINETUNE = ['finetune', '--model', 'tiny', '--data', 'd.jsonl', '--out', 'o'];
const COMMON = { device: 'auto', json: false, quiet: false };

describe('defaults', () => {
  test('of finetune', async () => {
    const { code, ran } = await cli(...FINETUNE);
    expect(code).toBe(0);
    expect(ran?.command).toBe('finetune');
    expect(ran?.options).toEqual({
      ...COMMON,
      model: 'tiny',
      data: 'd.jsonl',
      out: 'o',
      given: ['model', 'out', 'data'],
      store: 'lorikeet-runs',
      save: true,
      saveEvery: 0,
      saveMinutes: 5,
      delta: false,
      maxLength: 512,
      trainOn: 'completion',
      chat: false,
      rank: 8,
      alpha: 16,
      dropout: 0,
      rslora: false,
      targets: 'all-linear',
      epochs: 1,
      batchSize: 8,
      gradAccumulation: 1,
      lr: 1e-4,
      schedule: 'constant',
      warmupSteps: 0,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-12,
      weightDecay: 0,
      gradClip: 0,
      seed: 0,
      shuffle: true,
      evalSplit: 0,
      evalEvery: 0,
      adapterDtype: 'f32',
    } satisfies FinetuneOptions);
  });

  test('of generate', async () => {
    const { ran } = await cli('generate', '--model', 'm', '--prompt', 'Hello');
    expect(ran?.options).toEqual({
      ...COMMON,
      model: 'm',
      prompt: 'Hello',
      raw: false,
      maxTokens: 64,
      temperature: 0,
      topK: 0,
      topP: 1,
      seed: 0,
      stop: [],
      adapterScale: 1,
      logprobs: false,
    } satisfies GenerateOptions);
  });

  test('of evaluate', async () => {
    const { ran } = await cli('evaluate', '--model', 'm', '--data', 'd');
    expect(ran?.options).toEqual({
      ...COMMON,
      model: 'm',
      data: 'd',
      maxLength: 512,
      trainOn: 'completion',
      chat: false,
      adapterScale: 1,
    } satisfies EvaluateOptions);
  });
});

test('takes every option of finetune', async () => {
  const line =
    '--rank 4 --alpha 32 --dropout 0.1 --rslora --targets q_proj,v_proj --init-adapter a --steps 7 --batch-size 2 ' +
    '--grad-accumulation 3 --max-length 64 --lr 3e-4 --schedule cosine --warmup-steps 5 --beta1 0.8 --beta2 0.999 ' +
    '--eps 1e-8 --weight-decay 0.01 --grad-clip 1 --seed 9 --no-shuffle --train-on all --chat --eval-split 0.1 ' +
    '--eval-every 2 --metrics m.jsonl --adapter-dtype bf16 --device swift --json --quiet';
  const { code, ran } = await cli(...FINETUNE, ...line.split(' '));
  expect(code).toBe(0);
  expect(ran?.options).toMatchObject({
    rank: 4,
    alpha: 32,
    dropout: 0.1,
    rslora: true,
    targets: ['q_proj', 'v_proj'],
    initAdapter: 'a',
    steps: 7,
    batchSize: 2,
    gradAccumulation: 3,
    maxLength: 64,
    lr: 3e-4,
    schedule: 'cosine',
    warmupSteps: 5,
    beta1: 0.8,
    beta2: 0.999,
    eps: 1e-8,
    weightDecay: 0.01,
    gradClip: 1,
    seed: 9,
    shuffle: false,
    trainOn: 'all',
    chat: true,
    evalSplit: 0.1,
    evalEvery: 2,
    metrics: 'm.jsonl',
    adapterDtype: 'bf16',
    device: 'swift',
    json: true,
    quiet: true,
  });
});

test('takes every option of generate, and --stop more than once', async () => {
  const line =
    '--adapter a --max-tokens 5 --temperature 0.7 --top-k 40 --top-p 0.9 --seed 3 --stop x --stop y --adapter-scale -0.5 --logprobs';
  const { ran } = await cli('generate', '--model', 'm', '--messages', 'f.json', ...line.split(' '));
  expect(ran?.options).toMatchObject({
    messages: 'f.json',
    adapter: 'a',
    maxTokens: 5,
    temperature: 0.7,
    topK: 40,
    topP: 0.9,
    seed: 3,
    stop: ['x', 'y'],
    adapterScale: -0.5,
    logprobs: true,
  });
});

test('an evaluation split without a share is 0.05', async () => {
  expect((await cli(...FINETUNE, '--eval-split')).ran?.options).toMatchObject({ evalSplit: 0.05 });
  expect((await cli(...FINETUNE, '--eval-split', '--json')).ran?.options).toMatchObject({ evalSplit: 0.05 });
});

test('inspect takes a path', async () => {
  expect((await cli('inspect', 'some/path', '--json')).ran).toEqual({
    command: 'inspect',
    options: { ...COMMON, path: 'some/path', json: true },
  });
});

test.each(['', 'finetune', 'generate', 'evaluate', 'inspect', 'devices', 'relay', 'serve', 'example'])(
  'lorikeet %s --help prints help and runs nothing',
  async (command) => {
    const { code, out, err, ran } = await cli(...(command === '' ? [] : [command]), '--help');
    expect({ code, err, ran }).toEqual({ code: 0, err: '', ran: null });
    expect(out).toMatch(/^Usage: lorikeet/);
    expect(out).not.toContain('default: false');
  },
);

test('--version', async () => {
  expect(await cli('--version')).toMatchObject({ code: 0, out: '1.2.3\n' });
});

test('the examples take their seed and length', async () => {
  expect((await cli('example', 'rl', '--seed', '3', '--iterations', '4')).ran).toEqual({
    command: 'example rl',
    options: { ...COMMON, store: 'lorikeet-runs', seed: 3, iterations: 4 },
  });
  expect((await cli('example', 'dpo', '--json')).ran).toEqual({
    command: 'example dpo',
    options: { ...COMMON, json: true, store: 'lorikeet-runs', seed: 0, sftEpochs: 6, epochs: 3 },
  });
});

test.each([
  [[], 'No command is given.'],
  [['example', 'rl', '--iterations', '0'], '--iterations is "0". Use a whole number from 1.'],
  [['train'], "Unknown command 'train'"],
  [[...FINETUNE, '--ranks', '8'], "Unknown option '--ranks' (Did you mean --rank?)"],
  [[...FINETUNE, '--rank'], "Option '--rank <r>' argument missing"],
  [[...FINETUNE, '--rank', 'x'], '--rank is "x". Use a whole number from 1.'],
  [[...FINETUNE, '--rank', '0'], '--rank is "0". Use a whole number from 1.'],
  [[...FINETUNE, '--rank', '2.5'], '--rank is "2.5". Use a whole number from 1.'],
  [[...FINETUNE, '--lr', '-1'], '--lr is "-1". Use a number from 0.'],
  [[...FINETUNE, '--lr', ''], '--lr is "". Use a number from 0.'],
  [[...FINETUNE, '--lr', 'Infinity'], '--lr is "Infinity". Use a number from 0.'],
  [[...FINETUNE, '--dropout', '1'], '--dropout is "1". Use a number from 0 to below 1.'],
  [[...FINETUNE, '--eval-split', '0.6'], '--eval-split is "0.6". Use a number from 0 to 0.5.'],
  [[...FINETUNE, '--schedule', 'step'], '--schedule is "step". Use constant or linear or cosine.'],
  [
    [...FINETUNE, '--targets', 'q_proj,'],
    '--targets is "q_proj,". Use all-linear, or names such as q_proj,v_proj.',
  ],
  [[...FINETUNE, '--name', 'a/b'], '--name is "a/b". Use 1 to 255 of the characters A-Z a-z 0-9 . _ -.'],
  [
    [...FINETUNE, '--resume', 'a', '--init-adapter', 'b'],
    "cannot be used with option '--init-adapter <path>'",
  ],
  [['checkpoints', 'import', 'a', '--run', ''], '--run is "".'],
  [['checkpoints', 'list', '--limit', '0'], '--limit is "0". Use a whole number from 1.'],
  [['checkpoints', 'export', 'a', '--out', 'o', '--kind', 'zip'], '--kind is "zip".'],
  [['checkpoints', 'export', 'a'], "Required option '--out <path>' not specified"],
  [[...FINETUNE, '--epochs', '2', '--steps', '3'], "cannot be used with option '--steps <n>'"],
  [
    [...FINETUNE, '--eval-data', 'e', '--eval-split', '0.1'],
    "cannot be used with option '--eval-split [share]'",
  ],
  [[...FINETUNE, 'extra'], 'Too many arguments'],
  [
    ['generate', '--model', 'm', '--prompt', 'p', '--messages', 'f'],
    "cannot be used with option '--prompt <text>'",
  ],
  [
    ['generate', '--model', 'm', '--prompt', 'p', '--top-p', '0'],
    '--top-p is "0". Use a number above 0 up to 1.',
  ],
  [['inspect'], "Missing required argument 'path'"],
])('wrong usage: %j', async (argv, expected) => {
  const { code, out, err, ran } = await cli(...argv);
  expect({ code, out, ran }).toEqual({ code: 2, out: '', ran: null });
  expect(err).toMatch(/^lorikeet: OPTION_INVALID: [^\n]+[.!?`)] [^\n]+\.\n$/);
  expect(err).toContain(expected);
});

describe('what a command throws', () => {
  const failing = (error: unknown): Promise<[number, string]> => {
    let err = '';
    const fail = (): Promise<never> => Promise.reject(error as Error);
    const commands = {
      finetune: fail,
      verifyResume: fail,
      generate: fail,
      evaluate: fail,
      inspect: fail,
      devices: fail,
      relay: fail,
      examples: { rl: fail, dpo: fail },
      serve: fail,
      checkpoints: keptCommands(fail),
    };
    const output = { out: () => undefined, err: (text: string) => (err += text) };
    return runCli(['devices'], '0', commands, output).then((code) => [code, err]);
  };

  test('a failure is a line with code and fix, and exit code 1', async () => {
    const error = new StudioError({
      code: 'DATA_EMPTY',
      message: 'rows.jsonl has no rows.',
      fix: 'Add one.',
    });
    expect(await failing(error)).toEqual([1, 'lorikeet: DATA_EMPTY: rows.jsonl has no rows. Add one.\n']);
  });

  test('a value that proves wrong later is wrong usage too', async () => {
    const error = new StudioError({ code: 'OPTION_INVALID', message: 'No layer x.', fix: 'Choose another.' });
    expect((await failing(error))[0]).toBe(2);
  });

  test('anything else is a bug that asks to be reported', async () => {
    const [code, err] = await failing(new Error('oh'));
    expect(code).toBe(1);
    expect(err).toMatch(/^lorikeet: INTERNAL: oh\. This is a bug/);
  });
});

test('a message of several lines becomes one', () => {
  expect(errorLine({ code: 'GPU_ERROR', message: 'one\n  two', fix: 'Three.' })).toBe(
    'lorikeet: GPU_ERROR: one two. Three.',
  );
});
