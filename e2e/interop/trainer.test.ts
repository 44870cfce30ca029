/**
 * The command line and the real HuggingFace Trainer (tools/check_trainer.py) hand a run to each other: the same rate and
 * step, the moments to the last bit, the same losses. What is exported loads in PEFT without a warning.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { errorOf, json, lorikeet, ran, ROOT, scratch, TINY } from '../cli/lorikeet.ts';

const folder = scratch();
const store = join(folder, 'store');
const rowsJson = join(folder, 'rows.json');
const rowsJsonl = join(folder, 'rows.jsonl');
const STEPS = 8;

const rows = [0, 1, 2].map((row) => {
  const inputIds = Array.from({ length: 9 + 2 * row }, (_, i) => 10 + ((i * 37 + row * 101) % 900));
  return { input_ids: inputIds, labels: inputIds.map((id, i) => (i < 2 ? -100 : id)) };
});

/** Trainer's AdamW, one batch of all rows, cosine with warm-up. */
const TRAINING =
  `--batch-size ${rows.length} --no-shuffle --steps ${STEPS} --lr 1e-3 --schedule cosine --warmup-steps 2 ` +
  '--beta1 0.9 --beta2 0.999 --eps 1e-8 --weight-decay 0.01';

interface Line {
  step: number;
  loss: number;
  lr: number;
}
const linesOf = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

async function python(...args: string[]): Promise<string> {
  const command = process.env['LORIKEET_PYTHON'];
  if (command === undefined) throw new Error('LORIKEET_PYTHON is not set; npm test sets it.');
  const env = { ...process.env, HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' };
  return (await promisify(execFile)(command, args, { env })).stdout;
}

const checkTrainer = (...args: string[]): Promise<string> =>
  python(join(ROOT, 'tools/check_trainer.py'), ...args);

/** The bytes of each tensor of a safetensors file, by name. */
function tensorsOf(path: string): Map<string, Buffer> {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, start).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            data_offsets: [from, to],
          },
        ]) => [name, file.subarray(start + from, start + to)],
      ),
  );
}

beforeAll(async () => {
  writeFileSync(rowsJson, JSON.stringify(rows));
  writeFileSync(rowsJsonl, rows.map((row) => JSON.stringify(row)).join('\n'));
  const adapter =
    '--rank 4 --targets q_proj,v_proj,down_proj --save-minutes 0 --save-every 3 --keep-latest 9';
  await ran([
    'finetune',
    '--model',
    TINY,
    '--data',
    rowsJsonl,
    '--store',
    store,
    '--name',
    'ours',
    '--metrics',
    join(folder, 'ours.jsonl'),
    ...`${TRAINING} ${adapter}`.split(' '),
  ]);
});

test('a Trainer goes on from an exported checkpoint', async () => {
  const out = join(folder, 'trainer');
  const full = join(folder, 'full');
  const at = ['checkpoints', 'export', 'ours/step-000003', '--store', store];
  await ran([...at, '--kind', 'hf-trainer', '--out', out]);
  await ran([...at, '--out', full]);
  const [result, held] = [join(folder, 'out.json'), join(folder, 'held.safetensors')];
  await checkTrainer('resume', TINY, join(out, 'checkpoint-3'), rowsJson, result, held, '--warmup', '2');
  const resumed = JSON.parse(readFileSync(result, 'utf8')) as {
    problems: string[];
    warnings: string[];
    begun: { step: number; learningRate: number };
    log: { step: number; loss: number }[];
  };
  expect(resumed).toMatchObject({ problems: [], warnings: [] });
  const ours = linesOf(join(folder, 'ours.jsonl'));
  expect(resumed.begun).toMatchObject({ step: 3, learningRate: ours[3]?.lr });
  const moments = tensorsOf(held);
  for (const [name, bytes] of tensorsOf(join(full, 'state/optimizer.safetensors')))
    expect(moments.get(name)?.equals(bytes), name).toBe(true);
  expect(moments.size).toBeGreaterThan(30);
  for (const { step, loss } of resumed.log) {
    expect(Math.abs(loss - (ours[step - 1]?.loss ?? NaN)), `loss of step ${step}`).toBeLessThan(1e-4);
  }
});

test('the command line goes on from a checkpoint that a Trainer wrote', async () => {
  const adapter = join(folder, 'adapter');
  await ran([
    'checkpoints',
    'export',
    'ours/step-000003',
    '--store',
    store,
    '--kind',
    'sampler',
    '--out',
    adapter,
  ]);
  const theirs = join(folder, 'theirs');
  await checkTrainer('train', TINY, adapter, rowsJson, theirs);
  const expected = JSON.parse(readFileSync(join(theirs, 'expected.json'), 'utf8')) as {
    log: { step: number; loss: number; learning_rate: number }[];
  };
  const added = await json<{ kind: string; step: number }>(
    'checkpoints',
    'import',
    join(theirs, 'checkpoint-2'),
    '--store',
    store,
    '--run',
    'theirs',
  );
  expect(added).toMatchObject({ kind: 'hf-trainer', step: 2 });
  const untold = await lorikeet([
    'finetune',
    '--resume',
    'theirs',
    '--store',
    store,
    '--model',
    TINY,
    '--data',
    rowsJsonl,
  ]);
  expect(errorOf(untold)).toMatchObject({ code: 'STATE_UNSUPPORTED' });
  const metrics = join(folder, 'theirs.jsonl');
  const { stderr } = await ran([
    'finetune',
    '--resume',
    'theirs',
    '--store',
    store,
    '--model',
    TINY,
    '--data',
    rowsJsonl,
    '--schedule',
    'cosine',
    '--warmup-steps',
    '2',
    '--no-shuffle',
    '--batch-size',
    String(rows.length),
    '--metrics',
    metrics,
  ]);
  expect(stderr).toContain('weights, moments, step and learning rate are exact');
  const lines = linesOf(metrics);
  expect(lines.map(({ step }) => step)).toEqual([3, 4, 5, 6, 7, 8]);
  for (const { step, loss, learning_rate: rate } of expected.log.filter(({ step: of }) => of > 2)) {
    const line = lines.find((other) => other.step === step);
    expect(line?.lr, `rate of step ${step}`).toBe(rate);
    expect(Math.abs(loss - (line?.loss ?? NaN)), `loss of step ${step}`).toBeLessThan(1e-4);
  }
});

test('the root of a full export is a PEFT folder that loads without a warning', async () => {
  const out = join(folder, 'peft');
  await ran(['checkpoints', 'export', 'ours/final', '--store', store, '--out', out]);
  const code = [
    'import sys, warnings',
    'from peft import PeftModel',
    'from transformers import AutoModelForCausalLM',
    'base = AutoModelForCausalLM.from_pretrained(sys.argv[1])',
    'with warnings.catch_warnings(record=True) as caught:',
    "    warnings.simplefilter('always')",
    '    model = PeftModel.from_pretrained(base, sys.argv[2])',
    "print([str(w.message) for w in caught if not issubclass(w.category, (FutureWarning, DeprecationWarning))], model.peft_config['default'].r)",
  ].join('\n');
  expect((await python('-c', code, TINY, out)).trim()).toBe('[] 4');
});
