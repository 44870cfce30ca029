/**
 * SmolLM2-135M-Instruct on real text through the command line, against PEFT in float32 (tools/smollm2_reference.py): the
 * losses of ten steps on the same rows from the same adapter, then the greedy answers of the exported adapter.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;
const data = join(root, '../shared/data/gsm8k-400.jsonl');
const program = join(root, 'bin/lorikeet.mjs');
let work = '';

interface Step {
  loss: number;
  gradNorm: number;
  tokens: number;
  trainedTokens: number;
}

interface Answer {
  prompt: string;
  tokens: number[];
  promptTokens: number[];
}

function need(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; npm run test:smollm2 sets it.`);
  return value;
}

async function reference<T>(name: string, ...args: string[]): Promise<T> {
  const out = join(work, `${name}.json`);
  const script = join(root, 'tools/smollm2_reference.py');
  const env = { ...process.env, HF_HUB_OFFLINE: '1' };
  await run(need('LORIKEET_PYTHON'), [script, need('LORIKEET_SMOLLM2'), data, out, ...args], { env });
  return JSON.parse(await readFile(out, 'utf8')) as T;
}

async function lorikeet(...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [program, ...args], { maxBuffer: 2 ** 26 });
  return stdout;
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-smollm2-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

test('ten steps on GSM8K and the answers after them are those of PEFT', async () => {
  const model = need('LORIKEET_SMOLLM2');
  const init = join(work, 'init');
  const out = join(work, 'adapter');
  const metrics = join(work, 'metrics.jsonl');
  await reference('make', '--make-adapter', init);
  const started = performance.now();
  const options = '--steps 10 --batch-size 1 --max-length 128 --lr 1e-4 --no-shuffle --quiet --metrics';
  const files = ['--model', model, '--data', data, '--out', out, '--init-adapter', init];
  await lorikeet('finetune', ...files, ...options.split(' '), metrics);
  const seconds = (performance.now() - started) / 1000;
  process.stderr.write(`lorikeet finetune: ${seconds.toFixed(1)} s with loading and compiling\n`);
  const ours = (await readFile(metrics, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Step);
  const { steps } = await reference<{ steps: Step[] }>('train', '--init-adapter', init);
  const off = steps.map(({ loss }, index) => Math.abs((ours[index]?.loss ?? NaN) - loss) / loss);
  process.stderr.write(`losses, largest relative difference: ${Math.max(...off).toExponential(2)}\n`);
  expect(ours.map(({ tokens, trainedTokens }) => [tokens, trainedTokens])).toEqual(
    steps.map(({ tokens, trainedTokens }) => [tokens, trainedTokens]),
  );
  for (const [index, difference] of off.entries()) expect(difference, `step ${index + 1}`).toBeLessThan(1e-3);

  const { answers } = await reference<{ answers: Answer[] }>('answers', '--generate', '--init-adapter', out);
  expect(answers).toHaveLength(5);
  for (const { prompt, tokens, promptTokens } of answers) {
    const answer = await lorikeet(
      'generate',
      '--model',
      model,
      '--adapter',
      out,
      '--prompt',
      prompt,
      '--max-tokens',
      '32',
      '--json',
      '--quiet',
    );
    const got = JSON.parse(answer) as { tokens: number[]; promptTokens: number };
    expect(got.promptTokens).toBe(promptTokens.length);
    // The end token ends our answer and is not part of it; transformers shows it.
    expect(got.tokens, prompt).toEqual(tokens.filter((id) => id !== 2));
  }
});
