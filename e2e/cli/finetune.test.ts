/** The main job from a terminal: train, look, evaluate, generate, go on. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  errorOf,
  json,
  lorikeet,
  PIRATE,
  ran,
  scratch,
  someRows,
  succeed,
  unpack,
  type Outcome,
} from './lorikeet.ts';

const folder = scratch();
const rows = someRows(folder, 24);
const held = someRows(folder, 8, 100);
const out = join(folder, 'adapter');
const metricsFile = join(folder, 'metrics.jsonl');
const STEPS = 8;

interface Step {
  step: number;
  epoch: number;
  loss: number;
  lr: number;
  trainedTokens: number;
  evalLoss?: number;
}

let first: Outcome;
let metrics: Step[];

beforeAll(async () => {
  const data = ['--data', rows, '--eval-data', held, '--eval-every', '4', '--metrics', metricsFile];
  const settings = ['--steps', String(STEPS), '--lr', '2e-3', '--schedule', 'linear', '--warmup-steps', '2'];
  first = await ran(['finetune', '--model', 'tiny', '--out', out, ...data, ...settings, '--json']);
  metrics = readFileSync(metricsFile, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Step);
});

describe('finetune', () => {
  test('writes a PEFT folder', () => {
    expect(readdirSync(out).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'chat_template.jinja',
      'checkpoint.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const config = JSON.parse(readFileSync(join(out, 'adapter_config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ peft_type: 'LORA', r: 8, lora_alpha: 16, task_type: 'CAUSAL_LM' });
  });

  test('prints one line of JSON, and what it does on stderr', () => {
    expect(JSON.parse(first.stdout)).toMatchObject({
      out,
      steps: STEPS,
      plannedSteps: STEPS,
      stopped: false,
      rank: 8,
      data: { trainRows: 24, evalRows: 8, rejected: [] },
    });
    expect(first.stdout.trimEnd()).not.toContain('\n');
    expect(first.stderr).toMatch(/^Training 100% {2}step 8\/8 {2}loss /m);
  });

  test('writes the figures of each step', () => {
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const step of metrics) {
      expect(Object.keys(step).filter((key) => key !== 'evalLoss')).toEqual([
        'step',
        'epoch',
        'loss',
        'lr',
        'gradNorm',
        'tokens',
        'trainedTokens',
        'seconds',
      ]);
    }
    expect(metrics.filter(({ evalLoss }) => evalLoss !== undefined).map(({ step }) => step)).toEqual([4, 8]);
    expect(metrics[2]?.epoch).toBe(1);
    // Two steps of warm-up from 0, then down to 0 at the end, as transformers has it.
    expect(metrics.map(({ lr }) => lr)).toEqual([0, 1, 2, ...[5, 4, 3, 2, 1].map((n) => n / 3)].map(nearly));
    expect(metrics.at(-1)?.loss ?? 9).toBeLessThan((metrics[0]?.loss ?? 0) * 0.9);
  });
});

/** The rate that is so many thousandths. */
function nearly(thousandths: number): unknown {
  return expect.closeTo(thousandths / 1000, 9);
}

describe('evaluate', () => {
  test('the loss falls from the base model to the adapter', async () => {
    const base = await json<Record<string, number>>('evaluate', '--model', 'tiny', '--data', held);
    const tuned = await json<Record<string, number>>(
      'evaluate',
      '--model',
      'tiny',
      '--data',
      held,
      '--adapter',
      out,
    );
    const off = ['--adapter', out, '--adapter-scale', '0'];
    const scaled = await json<Record<string, number>>('evaluate', '--model', 'tiny', '--data', held, ...off);
    expect(Object.keys(tuned)).toEqual(['loss', 'perplexity', 'trainedTokens']);
    expect(tuned['perplexity']).toBeCloseTo(Math.exp(tuned['loss'] ?? 0), 6);
    expect(tuned['loss'] ?? 9).toBeLessThan((base['loss'] ?? 0) * 0.9);
    expect(scaled['loss']).toBeCloseTo(base['loss'] ?? 0, 5);
    // The run evaluated the same rows with the same adapter.
    expect(tuned['loss']).toBeCloseTo(metrics.at(-1)?.evalLoss ?? 0, 4);
    expect(JSON.parse(first.stdout)).toMatchObject({
      evalLossBefore: expect.closeTo(base['loss'] ?? 0, 4) as number,
    });
  });
});

describe('generate', () => {
  const ask = ['generate', '--model', 'tiny', '--prompt', 'What does the fox eat?'];
  interface Answer {
    text: string;
    tokens: number[];
    logprobs?: number[];
  }

  test('streams text, the same as JSON gives with its tokens', async () => {
    const text = await succeed(...ask, '--quiet');
    const answer = await json<Answer>(...ask, '--logprobs');
    expect(text).toBe(`${answer.text}\n`);
    expect(answer.text).toContain('fox');
    expect(answer.logprobs).toHaveLength(answer.tokens.length);
    expect(answer.logprobs?.every((logprob) => logprob <= 0)).toBe(true);
    expect((await json<Answer>(...ask, '--max-tokens', '3')).tokens).toEqual(answer.tokens.slice(0, 3));
  });

  test('an adapter changes the answer, scaled to 0 it does not', async () => {
    const [base, tuned, off] = await Promise.all([
      json<Answer>(...ask, '--logprobs'),
      json<Answer>(...ask, '--adapter', out, '--logprobs'),
      json<Answer>(...ask, '--adapter', out, '--adapter-scale', '0', '--logprobs'),
    ]);
    expect(tuned.logprobs).not.toEqual(base.logprobs);
    expect(off.text).toBe(base.text);
  });

  test('a conversation from a file, a stop text, and draws by a seed', async () => {
    const messages = join(folder, 'messages.json');
    writeFileSync(messages, JSON.stringify([{ role: 'user', content: 'What does the fox eat?' }]));
    const { text } = await json<Answer>(...ask);
    const chat = ['generate', '--model', 'tiny', '--messages', messages];
    expect((await json<Answer>(...chat)).text).toBe(text);
    expect((await json<Answer>(...chat, '--stop', text.slice(5, 8))).text).toBe(text.slice(0, 5));
    const raw = ['generate', '--model', 'tiny', '--raw', '--prompt', 'The', '--temperature', '2'];
    const draw = async (seed: string): Promise<string> => (await json<Answer>(...raw, '--seed', seed)).text;
    const drawn = await draw('1');
    expect(await draw('1')).toBe(drawn);
    expect(await draw('2')).not.toBe(drawn);
  });

  test('prints a line per token where asked for', async () => {
    const lines = (await succeed(...ask, '--logprobs', '--quiet')).trimEnd().split('\n');
    expect(lines[1]).toMatch(/^-\d+\.\d{6}\t\d+\t".+"$/);
    expect(
      lines
        .slice(1)
        .map((line) => JSON.parse(line.split('\t')[2] ?? '') as string)
        .join(''),
    ).toBe(lines[0]);
  });
});

describe('the same seed', () => {
  const train = (name: string, ...more: string[]): Promise<string> =>
    succeed(
      'finetune',
      '--model',
      'tiny',
      '--data',
      rows,
      '--out',
      join(folder, name),
      '--steps',
      '2',
      ...more,
    );

  test('gives the same bytes, but for ids and times in checkpoint.json; another seed does not', async () => {
    for (const [name, seed] of [
      ['a', '3'],
      ['b', '3'],
      ['c', '4'],
    ] as const)
      await train(`${name}.tar.gz`, '--seed', seed, '--dropout', '0.1', '--eval-split');
    const [a, b, c] = await Promise.all(
      ['a', 'b', 'c'].map((name) => unpack(join(folder, `${name}.tar.gz`))),
    );
    expect([...(a?.keys() ?? [])]).toEqual([
      'checkpoint.json',
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'chat_template.jinja',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    for (const [path, bytes] of b ?? []) {
      const same = Buffer.compare(bytes, a?.get(path) ?? new Uint8Array(0)) === 0;
      expect(same || path === 'checkpoint.json', path).toBe(true);
    }
    expect(plainManifest(b?.get('checkpoint.json'))).toEqual(plainManifest(a?.get('checkpoint.json')));
    const weights = 'adapter_model.safetensors';
    expect(
      Buffer.compare(c?.get(weights) ?? new Uint8Array(0), a?.get(weights) ?? new Uint8Array(0)),
    ).not.toBe(0);
  });

  test('an archive is inspected, evaluated and gone on from with its own settings', async () => {
    await train('small.tar.gz', '--rank', '2', '--alpha', '8', '--targets', 'q_proj,v_proj', '--rslora');
    const path = join(folder, 'small.tar.gz');
    const settings = { rank: 2, alpha: 8, rslora: true, targets: ['q_proj', 'v_proj'] };
    const checkpoint = { name: 'step-2', step: 2, kind: 'sampler' };
    expect(await json('inspect', path)).toMatchObject({
      kind: 'adapter',
      container: 'tar.gz',
      ...settings,
      checkpoint,
    });
    const before = await json<{ loss: number }>(
      'evaluate',
      '--model',
      'tiny',
      '--data',
      rows,
      '--adapter',
      path,
    );
    const next = join(folder, 'next');
    const args = [
      'finetune',
      '--model',
      'tiny',
      '--data',
      rows,
      '--out',
      next,
      '--init-adapter',
      path,
      '--steps',
      '1',
      '--batch-size',
      '24',
      '--no-shuffle',
      '--adapter-dtype',
      'bf16',
    ];
    const summary = await json<{ loss: number }>(...args);
    expect(summary).toMatchObject(settings);
    // The first step's loss is that of the adapter which it starts from.
    expect(summary.loss).toBeCloseTo(before.loss, 4);
    expect(await json('inspect', next)).toMatchObject({ ...settings, dtypes: ['BF16'] });
  });
});

/** A manifest without its ids, its time, and the hash over itself. */
function plainManifest(bytes: Uint8Array | undefined): object {
  const { id, runId, createdAt, sha256Self, ...rest } = JSON.parse(new TextDecoder().decode(bytes)) as Record<
    string,
    unknown
  >;
  for (const value of [id, runId, createdAt, sha256Self]) expect(value).toEqual(expect.any(String));
  return rest;
}

test('Ctrl-C ends the run after the step under way and still writes the adapter', async () => {
  const path = join(folder, 'ended');
  let sent = false;
  const outcome = await lorikeet(
    ['finetune', '--model', 'tiny', '--data', PIRATE, '--out', path, '--steps', '10000', '--json'],
    {
      onStderr: (stderr) => {
        if (sent || !/^Training 0%/m.test(stderr)) return undefined;
        sent = true;
        return 'SIGINT';
      },
    },
  );
  expect(outcome.code, outcome.stderr).toBe(0);
  const summary = JSON.parse(outcome.stdout) as { steps: number; stopped: boolean };
  expect(summary.stopped).toBe(true);
  expect(summary.steps).toBeLessThan(100);
  expect(await json('inspect', path)).toMatchObject({ checkpoint: { step: summary.steps } });
});

test('a folder with something in it is refused before anything is done', async () => {
  const before = readdirSync(out);
  const outcome = await lorikeet(['finetune', '--model', 'tiny', '--data', rows, '--out', out]);
  expect(outcome.code).toBe(1);
  expect(errorOf(outcome)).toMatchObject({ code: 'FILE_WRITE_FAILED' });
  expect(outcome.stderr).not.toContain('GPU:');
  expect(readdirSync(out)).toEqual(before);
  expect(existsSync(out)).toBe(true);
});
