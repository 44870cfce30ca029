/** The examples on the embedded model, as people run them: rewards and preferences rise, and a seed decides a run. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformWithOxc } from 'vite';
import { expect, test } from 'vitest';
import { ensureBuilt } from '../../scripts/lib/build.mjs';
import { errorOf, json, lorikeet, once, ROOT, scratch, succeed } from './lorikeet.ts';

interface RlFigures {
  example: string;
  seed: number;
  rewardBefore: number;
  rewardAfter: number;
  steps: object[];
  answersBefore: object[];
  answersAfter: object[];
  path: string | null;
}

interface DpoFigures {
  likedShare: { base: number; sft: number; dpo: number };
  before: { accuracy: number; margin: number };
  after: { accuracy: number; margin: number };
  steps: { stage: string; loss: number }[];
}

const folder = scratch();
const store = join(folder, 'store');

/** Runs an example with `--json`. */
const example = <T>(name: string, ...options: string[]): Promise<T> =>
  json('example', name, ...options, '--store', store, '--quiet');

const runIdOf = (path: string | null): string =>
  /^lorikeet:\/\/([^/]+)\/weights\/final$/.exec(path ?? '')?.[1] ?? '';

test('a rewarded form is learned, and the result is kept', async () => {
  const { steps, rewardBefore, rewardAfter, answersAfter, path } = await example<RlFigures>(
    'rl',
    '--seed',
    '1',
  );
  expect(steps).toHaveLength(10);
  expect(rewardBefore).toBeLessThan(0.5);
  expect(rewardAfter).toBeGreaterThan(rewardBefore + 0.3);
  expect(answersAfter).toHaveLength(4);
  const listed = await json<{ items: { name: string; runId: string }[] }>(
    'checkpoints',
    'list',
    '--store',
    store,
  );
  const names = listed.items.filter(({ runId }) => runId === runIdOf(path)).map(({ name }) => name);
  expect(names).toContain('final');
});

test('a liked tone is preferred after the pairs', async () => {
  const { steps, before, after, likedShare } = await example<DpoFigures>('dpo', '--epochs', '2');
  const sft = steps.filter(({ stage }) => stage === 'sft');
  expect(sft.at(-1)?.loss).toBeLessThan(0.3 * (sft[0]?.loss ?? NaN));
  expect(before).toMatchObject({ accuracy: 0.5, margin: 0 });
  expect(after.accuracy).toBe(1);
  expect(after.margin).toBeGreaterThan(0.3);
  expect(likedShare.dpo).toBeGreaterThan(likedShare.base + 0.5);
});

/** Runs a program of the folder examples, as one that has the package installed. Resolves with what it printed. */
async function program<T>(name: string, ...words: string[]): Promise<T> {
  await ensureBuilt('lib');
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  if (!existsSync(join(folder, 'node_modules/lorikeet')))
    symlinkSync(ROOT, join(folder, 'node_modules/lorikeet'), 'dir');
  // Node 20 takes no types; later ones run the file itself.
  const source = join(ROOT, `examples/${name}.ts`);
  const { code } = await transformWithOxc(readFileSync(source, 'utf8'), source);
  writeFileSync(join(folder, `${name}.mjs`), code);
  const env = { ...process.env, LORIKEET_STORE: store };
  const child = spawn(process.execPath, [`${name}.mjs`, ...words], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
  return JSON.parse(stdout) as T;
}

test('the programs of the folder examples have the figures of the commands, which their seeds decide', async () => {
  const { path: _, ...figures } = await program<RlFigures>('rl-form', '2', '3');
  expect(figures.steps).toHaveLength(2);
  expect(await example<RlFigures>('rl', '--iterations', '2', '--seed', '3')).toMatchObject(figures);
  const { path: __, ...dpo } = await program<DpoFigures & { path: string }>('sft-then-dpo', '1', '5', '1');
  expect(new Set(dpo.steps.map(({ stage }) => stage))).toEqual(new Set(['sft', 'dpo']));
  const again = ['dpo', '--epochs', '1', '--seed', '5', '--sft-epochs', '1'] as const;
  expect(await example<DpoFigures>(...again)).toMatchObject(dpo);
});

test('Ctrl-C stops an example after its step', async () => {
  const outcome = await lorikeet(['example', 'rl', '--iterations', '4', '--store', store], {
    onStderr: once('Measuring', 'SIGINT'),
  });
  expect(outcome.code).toBe(1);
  expect(outcome.stderr).toContain('Stopping after this step');
  expect(errorOf(outcome).code).toBe('CANCELLED');
});

test.each(['', 'rl', 'dpo'])('lorikeet example %s --help explains itself', async (name) => {
  const words = name === '' ? ['example'] : ['example', name];
  expect(await succeed(...words, '--help')).toMatch(new RegExp(`^Usage: lorikeet ${words.join(' ')} `));
});
