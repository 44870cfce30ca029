/** A resumed run is the run: killed, interrupted, forked, moved to another store; and what is refused by name. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  errorOf,
  json,
  lorikeet,
  once,
  ran,
  scratch,
  someRows,
  TINY,
  unpack,
  type Outcome,
} from './lorikeet.ts';

const folder = scratch();
const rows = someRows(folder, 9);
const other = someRows(folder, 9, 40);
const STEPS = 20;
const HALF = 10;

/** Dropout, shuffling, accumulation, warm-up, cosine and evaluations, on rows enough that epochs end within steps. */
const HARD = [
  '--data',
  rows,
  ...`--model tiny --rank 2 --targets q_proj,v_proj --dropout 0.1 --batch-size 1 --grad-accumulation 2
    --steps ${String(STEPS)} --lr 3e-3 --seed 5 --schedule cosine --warmup-steps 3 --eval-split 0.25 --eval-every 4
    --save-minutes 0 --save-every 5 --keep-latest 19`.split(/\s+/),
];
const straight = join(folder, 'straight');
const killed = join(folder, 'killed');

const start = (store: string, ...more: string[]) => ['finetune', ...HARD, '--store', store, ...more];
const figures = (store: string): string => `${store}.jsonl`;

/** The figures of `--metrics` without the times. */
function timeless(store: string): object[] {
  const lines = readFileSync(figures(store), 'utf8').trimEnd().split('\n');
  return lines.map((line) => ({ ...(JSON.parse(line) as object), seconds: null }));
}

/** The files of a full export, with the manifest's ids, times and hash over itself taken out. */
function exported(store: string, path: string): Promise<Map<string, string>> {
  const key = `${store} ${path}`;
  const known = exports.get(key) ?? exportNow(store, path);
  exports.set(key, known);
  return known;
}
const exports = new Map<string, Promise<Map<string, string>>>();

async function exportNow(store: string, path: string): Promise<Map<string, string>> {
  const out = join(folder, `${store.replaceAll(/\W/g, '')}-${path.replace('/', '-')}.tar.gz`);
  await ran(['checkpoints', 'export', path, '--store', store, '--out', out]);
  const files = new Map(
    Array.from(await unpack(out), ([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
  );
  const manifest = JSON.parse(Buffer.from(files.get('checkpoint.json') ?? '', 'base64').toString()) as object;
  const plain = Object.entries(manifest).filter(
    ([name]) => !['id', 'runId', 'parentId', 'createdAt', 'sha256Self'].includes(name),
  );
  files.set('checkpoint.json', JSON.stringify(plain));
  return files;
}

let killedWith: Outcome;

beforeAll(async () => {
  await ran(start(straight, '--name', 'pirate', '--metrics', figures(straight)));
  // Killed right after the checkpoint of step 10 was promised, in the middle of what it does then.
  killedWith = await lorikeet(start(killed, '--name', 'pirate', '--metrics', figures(killed)), {
    onStderr: (stderr) => (stderr.includes(`Saved step-0000${String(HALF)}`) ? 'SIGKILL' : undefined),
  });
});

describe('a run that was killed with SIGKILL', () => {
  test('goes on as if nothing had happened: every file of the archive is the same', async () => {
    expect(killedWith.code).toBe(null);
    const { stderr } = await ran([
      'finetune',
      '--resume',
      'pirate',
      '--store',
      killed,
      '--metrics',
      figures(killed),
    ]);
    expect(stderr).toContain(
      `Resuming pirate from step-0000${String(HALF)}: step ${String(HALF)} of ${String(STEPS)}.`,
    );
    expect(stderr).toContain('bit for bit');
    const [whole, resumed] = [
      await exported(straight, 'pirate/final'),
      await exported(killed, 'pirate/final'),
    ];
    expect([...resumed.keys()]).toEqual([...whole.keys()]);
    expect([...whole.keys()]).toContain('state/metrics.jsonl');
    expect(resumed).toEqual(whole);
    expect(timeless(killed)).toEqual(timeless(straight));
  });

  test('goes on saving as it did, though nothing was said of it again', async () => {
    const names = async (store: string): Promise<string[]> => {
      const { items } = await json<{ items: { name: string }[] }>('checkpoints', 'list', '--store', store);
      return items.map(({ name }) => name);
    };
    expect(await names(killed)).toEqual(await names(straight));
    expect(await names(killed)).toContain('step-000015');
  });

  test('is complete then, and says so', async () => {
    const outcome = await lorikeet(['finetune', '--resume', 'pirate', '--store', killed]);
    expect(outcome.code).toBe(2);
    expect(errorOf(outcome).text).toContain('complete: 20 steps are done');
  });

  test('is forked from an earlier checkpoint, and comes to the same end', async () => {
    const args = ['finetune', '--resume', 'pirate/step-000010', '--store', killed, '--json'];
    const { run } = await json<{ run: { name: string } }>(...args);
    expect(run.name).toBe('pirate-fork');
    const weights = 'adapter_model.safetensors';
    const fork = await exported(killed, 'pirate-fork/final');
    expect(fork.get(weights)).toBe((await exported(straight, 'pirate/final')).get(weights));
    const shown = await json<{ ancestors: string[] }>(
      'checkpoints',
      'show',
      'pirate-fork/final',
      '--store',
      killed,
    );
    expect(shown.ancestors).toContain('pirate/step-000010');
  });
});

test('an exported checkpoint goes on in another store, and comes to the same end', async () => {
  const archive = join(folder, 'half.tar.gz');
  await ran(['checkpoints', 'export', 'pirate/step-000010', '--store', straight, '--out', archive]);
  const moved = join(folder, 'moved');
  await ran(['checkpoints', 'import', archive, '--store', moved, '--run', 'moved']);
  const unknown = await lorikeet(['finetune', '--resume', 'moved', '--store', moved]);
  expect(errorOf(unknown).text).toContain('Give --model as well');
  // What the run was started with may be said again; and from now on the run knows where model and data lie.
  const same = ['--rank', '2', '--targets', 'v_proj,q_proj', '--lr', '3e-3', '--seed', '5', '--steps', '20'];
  const often = ['--save-every', '5'];
  const held = await lorikeet(
    ['finetune', '--resume', 'moved', '--store', moved, '--model', 'tiny', '--data', rows, ...same, ...often],
    { onStderr: once('Saved step-000015', 'SIGINT') },
  );
  expect(held.code, held.stderr).toBe(0);
  await ran(['finetune', '--resume', 'moved', '--store', moved]);
  const weights = 'adapter_model.safetensors';
  const there = await exported(moved, 'moved/final');
  expect(there.get(weights)).toBe((await exported(straight, 'pirate/final')).get(weights));
});

test('Ctrl-C saves, tells how to go on, and the run goes on', async () => {
  const store = join(folder, 'interrupted');
  const outcome = await lorikeet(start(store, '--name', 'held'), {
    onStderr: once('Saved step-000005', 'SIGINT'),
  });
  expect(outcome.code, outcome.stderr).toBe(0);
  expect(outcome.stderr).toContain(`To go on: lorikeet finetune --resume held --store ${store}`);
  await ran(['finetune', '--resume', 'held', '--store', store]);
  const weights = 'adapter_model.safetensors';
  const ended = await exported(store, 'held/final');
  expect(ended.get(weights)).toBe((await exported(straight, 'pirate/final')).get(weights));
});

describe('resuming is refused by name', () => {
  const store = join(folder, 'refusals');
  const resume = (...more: string[]) =>
    lorikeet(['finetune', '--resume', 'pirate/step-000010', '--store', store, ...more]);
  beforeAll(() => {
    cpSync(straight, store, { recursive: true });
  });

  test.each<[string, string[], string]>([
    ['other data', ['--data', other], 'DATA_MISMATCH'],
    ['another rank', ['--rank', '4'], 'ADAPTER_MISMATCH'],
    ['other layers', ['--targets', 'q_proj'], 'ADAPTER_MISMATCH'],
    ['another rate', ['--lr', '1e-3'], 'OPTION_INVALID'],
    ['another seed', ['--seed', '6'], 'OPTION_INVALID'],
    ['another optimizer setting', ['--beta2', '0.9'], 'OPTION_INVALID'],
    ['another length', ['--epochs', '1'], 'OPTION_INVALID'],
    ['another split', ['--eval-split', '0.1'], 'OPTION_INVALID'],
    ['another name', ['--name', 'other'], 'OPTION_INVALID'],
    ['other rows to evaluate on', ['--eval-data', other], 'DATA_MISMATCH'],
  ])('with %s', async (_, args, code) => {
    const outcome = await resume(...args);
    expect(errorOf(outcome).code).toBe(code);
    expect(await json('checkpoints', 'list', '--store', store)).toMatchObject({ runs: [{ name: 'pirate' }] });
  });

  test('of another base model', async () => {
    const model = join(folder, 'model');
    cpSync(TINY, model, { recursive: true });
    const config = join(model, 'config.json');
    const changed = { ...(JSON.parse(readFileSync(config, 'utf8')) as object), rms_norm_eps: 2e-5 };
    writeFileSync(config, JSON.stringify(changed));
    expect(errorOf(await resume('--model', model)).code).toBe('BASE_MISMATCH');
  });

  test('with another tokenizer', async () => {
    const model = join(folder, 'tokenizer');
    cpSync(TINY, model, { recursive: true });
    const path = join(model, 'tokenizer.json');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, `${text} `);
    const same = await resume('--model', model, '--lr', '1e-3');
    // Bytes decide: also a copy that means the same is another one.
    expect(errorOf(same).code).toBe('TOKENIZER_MISMATCH');
  });

  test('of an archive of a newer format, or without its moments: nothing is stored', async () => {
    const spoil = async (name: string, change: (archive: string) => void): Promise<string> => {
      const archive = join(folder, name);
      await ran(['checkpoints', 'export', 'pirate/step-000010', '--store', straight, '--out', archive]);
      change(archive);
      const into = join(folder, `${name}-store`);
      const outcome = await lorikeet(['checkpoints', 'import', archive, '--store', into]);
      expect(await json('checkpoints', 'list', '--store', into)).toMatchObject({ total: 0, runs: [] });
      return errorOf(outcome).code;
    };
    const newer = (archive: string): void => {
      const path = join(archive, 'checkpoint.json');
      const text = readFileSync(path, 'utf8');
      writeFileSync(
        path,
        text.replace(/("formatVersion":\s*)(\d+)/, (_, key, n) => `${key}${Number(n) + 1}`),
      );
      expect(readFileSync(path, 'utf8')).not.toBe(text);
    };
    expect(await spoil('newer', newer)).toBe('FORMAT_NEWER');
    const without = (archive: string): void => rmSync(join(archive, 'state/optimizer.safetensors'));
    expect(await spoil('momentless', without)).toBe('ARCHIVE_INVALID');
  });

  test('from the adapter of an export without state', async () => {
    const sampler = join(folder, 'sampler');
    const at = ['--store', store];
    await ran(['checkpoints', 'export', 'pirate/final', ...at, '--kind', 'sampler', '--out', sampler]);
    const { path } = await json<{ path: string }>('checkpoints', 'import', sampler, ...at, '--name', 'alone');
    const outcome = await lorikeet(['finetune', '--resume', path, ...at, '--model', 'tiny', '--data', rows]);
    expect(errorOf(outcome).code).toBe('STATE_INCOMPLETE');
    await ran(['checkpoints', 'delete', path, '--force', ...at]);
  });

  test('from a run or a checkpoint that is not there', async () => {
    const run = await lorikeet(['finetune', '--resume', 'nobody', '--store', store]);
    expect(errorOf(run).code).toBe('RUN_NOT_FOUND');
    const name = await lorikeet(['finetune', '--resume', 'pirate/nothing', '--store', store]);
    expect(errorOf(name).code).toBe('CHECKPOINT_NOT_FOUND');
    const where = await lorikeet(['finetune', '--resume', 'pirate', '--store', join(folder, 'nowhere')]);
    expect(errorOf(where).code).toBe('FILE_NOT_FOUND');
  });

  test('from a checkpoint whose bytes were changed; without a name the one before is taken', async () => {
    const damaged = join(folder, 'damaged');
    cpSync(straight, damaged, { recursive: true });
    const shown = await json<{ files: { path: string; sha256: string }[] }>(
      'checkpoints',
      'show',
      'pirate/final',
      '--store',
      damaged,
    );
    const moments = shown.files.find(({ path }) => path === 'state/optimizer.safetensors')?.sha256 ?? '';
    const chunk = readdirSync(damaged, { recursive: true, encoding: 'utf8' }).find((path) =>
      path.endsWith(moments),
    );
    const path = join(damaged, chunk ?? '');
    const bytes = readFileSync(path);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const verified = await lorikeet(['checkpoints', 'verify', 'pirate/final', '--store', damaged]);
    expect(errorOf(verified).code).toBe('CHECKPOINT_DAMAGED');
    const byName = await lorikeet(['finetune', '--resume', 'pirate/final', '--store', damaged]);
    expect(errorOf(byName).code).toBe('CHECKPOINT_DAMAGED');
    const { stderr } = await ran(['finetune', '--resume', 'pirate', '--store', damaged]);
    expect(stderr).toMatch(/^Damaged, and passed over: .*final.*\. Going on from /m);
    expect(stderr).not.toContain('from final');
  });
});

test('verify-resume proves it', async () => {
  const args = ['--model', 'tiny', '--data', rows, '--rank', '2', '--targets', 'v_proj', '--batch-size', '2'];
  const proof = await json<object>(
    'verify-resume',
    ...args,
    '--before',
    '2',
    '--after',
    '2',
    '--dropout',
    '0.1',
  );
  expect(proof).toMatchObject({ equal: true, differences: [], before: 2, after: 2 });
});
