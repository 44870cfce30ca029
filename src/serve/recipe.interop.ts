/**
 * tinker-cookbook's own supervised training loop, unmodified, over the command `lorikeet serve`: it trains the embedded model
 * on a few conversations, finds the tokenizer without a network, keeps its checkpoints, and resumes from one bit for bit.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { tinyFolder } from '../cli/sources.ts';
import { startCommand, type ServeCommand } from './testing-command.ts';
import { runWithSdk } from './testing-sdk.ts';

const ROWS = 12;
const model = tinyFolder();
let work = '';
let command: ServeCommand;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-recipe-'));
  const rows = await readFile(new URL('../../public/datasets/pirate.jsonl', import.meta.url), 'utf8');
  await writeFile(join(work, 'rows.jsonl'), rows.split('\n').slice(0, ROWS).join('\n'));
  command = await startCommand('--model', model, '--store', join(work, 'store'));
});
afterAll(async () => {
  await command.stop();
  await rm(work, { recursive: true, force: true });
});

interface Seen {
  /** [step, mean loss per token] as the cookbook logged them. */
  straight: [number, number][];
  resumed: [number, number][];
  records: { name: string; state_path?: string; sampler_path?: string }[];
  tokens: number[];
}

it('runs through, and goes on from its checkpoint as if it had never stopped', async () => {
  // The server knows it by its folder, which is where the cookbook looks for a tokenizer of that name.
  expect(command.models).toEqual([model]);
  const seen = (await runWithSdk('newest', 'serve_recipe.py', [
    command.url,
    model,
    join(work, 'rows.jsonl'),
    work,
  ])) as unknown as Seen;
  const losses = seen.straight.map(([, loss]) => loss);
  expect(seen.straight.map(([step]) => step)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(losses.every(Number.isFinite)).toBe(true);
  const mean = (values: readonly number[]): number => values.reduce((x, y) => x + y, 0) / values.length;
  // The second pass over the same rows does better than the first.
  expect(mean(losses.slice(3))).toBeLessThan(0.9 * mean(losses.slice(0, 3)));
  expect(seen.resumed).toEqual(seen.straight.slice(3));
  const last = seen.records.at(-1);
  expect(last).toMatchObject({ name: 'final' });
  expect(last?.state_path).toMatch(/^tinker:\/\/.+\/weights\/final$/);
  expect(last?.sampler_path).toMatch(/^tinker:\/\/.+\/sampler_weights\/final$/);
  expect(seen.tokens.length).toBeGreaterThan(0);
});
