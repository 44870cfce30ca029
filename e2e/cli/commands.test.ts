/** Commands that need no training: help, wrong usage, inspect, devices. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { errorOf, json, lorikeet, ROOT, scratch, succeed, TINY } from './lorikeet.ts';

const folder = scratch();

test.each(['', 'finetune', 'verify-resume', 'generate', 'evaluate', 'inspect', 'devices', 'checkpoints'])(
  'lorikeet %s --help explains itself',
  async (command) => {
    const help = await succeed(...(command === '' ? [] : [command]), '--help');
    expect(help.startsWith(`Usage: ${`lorikeet ${command}`.trim()} `)).toBe(true);
  },
);

test.each([
  [['train'], 'Unknown command'],
  [['finetune', '--model', 'tiny'], "Required option '--data' is not given"],
  [['finetune', '--model', 'tiny', '--data', 'd', '--no-save'], 'nothing of the run would be left'],
  [['verify-resume', '--model', 'tiny'], 'not specified'],
  [['generate', '--model', 'tiny'], 'There is nothing to answer'],
  [['generate', '--model', 'tiny', '--prompt', 'Hi', '--top-k', 'many'], '--top-k is "many"'],
])('wrong usage ends with 2: %j', async (args, message) => {
  const outcome = await lorikeet(args);
  expect(outcome).toMatchObject({ code: 2, stdout: '' });
  expect(errorOf(outcome)).toMatchObject({ code: 'OPTION_INVALID' });
  expect(outcome.stderr).toContain(message);
});

test('a layer that the model has not is wrong usage too', async () => {
  const rows = join(ROOT, 'public/datasets/pirate.jsonl');
  const out = join(folder, 'targets');
  const args = ['finetune', '--model', 'tiny', '--data', rows, '--out', out, '--targets', 'c_attn'];
  const outcome = await lorikeet(args);
  expect(outcome.code).toBe(2);
  expect(errorOf(outcome).text).toContain('c_attn. Choose from: q_proj');
});

test('inspects a model folder, and the embedded model by its name', async () => {
  const byPath = await json<object>('inspect', TINY);
  expect(byPath).toMatchObject({
    kind: 'model',
    architecture: 'LlamaForCausalLM',
    layers: 6,
    dtypes: { BF16: 3_148_224 },
    hasChatTemplate: true,
    problems: [],
  });
  expect(await json('inspect', 'tiny')).toEqual(byPath);
  expect(await succeed('inspect', TINY)).toMatch(/^Kind +model\nArchitecture +LlamaForCausalLM \(llama\)\n/);
});

test('inspects an adapter that PEFT wrote', async () => {
  const path = join(ROOT, 'e2e/fixtures/parity/qwen2/adapter');
  expect(await json('inspect', path)).toMatchObject({
    kind: 'adapter',
    container: 'folder',
    checkpoint: null,
  });
  expect(await succeed('inspect', path)).toMatch(/^Kind +adapter \(folder\)\n/);
});

test('what is nothing of all that is a failure', async () => {
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  for (const [path, code] of [
    [empty, 'ADAPTER_INVALID'],
    [join(folder, 'missing'), 'FILE_NOT_FOUND'],
    [join(ROOT, 'package.json'), 'ARCHIVE_INVALID'],
  ] as const) {
    const outcome = await lorikeet(['inspect', path]);
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(errorOf(outcome).code).toBe(code);
  }
});

test('lists devices, each of which can be named', async () => {
  const { devices } = await json<{ devices: { device: string; name: string; software: boolean }[] }>(
    'devices',
  );
  expect(devices.length).toBeGreaterThan(0);
  const text = await succeed('devices');
  for (const { device, name } of devices) {
    expect(text).toContain(`${device}\n  ${name}\n`);
    const prompt = ['--prompt', 'Hi', '--max-tokens', '1', '--device', device];
    const { code, stderr } = await lorikeet(['generate', '--model', 'tiny', ...prompt]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`GPU: ${name}`);
  }
});

test('a device that is not there is a failure', async () => {
  const outcome = await lorikeet(['generate', '--model', 'tiny', '--prompt', 'Hi', '--device', 'Voodoo 2']);
  expect(outcome).toMatchObject({ code: 1, stdout: '' });
  expect(errorOf(outcome)).toMatchObject({ code: 'GPU_UNAVAILABLE' });
});
