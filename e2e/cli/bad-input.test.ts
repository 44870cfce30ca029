/** Bad input ends with exit code 1, a code and a fix on stderr, and nothing at --out. */
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { errorOf, expectNothingAt, lorikeet, ROOT, scratch, someRows, TINY } from './lorikeet.ts';

const folder = scratch();
const rows = someRows(folder, 8);
let count = 0;

/** A copy of the embedded model that `change` spoils. */
function spoiled(change: (model: string) => void): string {
  const model = join(folder, `model-${count++}`);
  cpSync(TINY, model, { recursive: true });
  change(model);
  return model;
}

/** Rewrites the header of the copy's weights; the tensors' bytes stay. */
function changeHeader(model: string, change: (header: Record<string, { shape: number[] }>) => void): void {
  const path = join(model, 'model.safetensors');
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, { shape: number[] }>;
  change(header);
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([size, text, bytes.subarray(8 + length)]));
}

function changeConfig(model: string, change: object): void {
  const path = join(model, 'config.json');
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...change }));
}

function dataFile(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const WEIGHTS = 'model.safetensors';
const OTHER_ADAPTER = join(ROOT, 'e2e/fixtures/parity/qwen2/adapter');

interface Case {
  name: string;
  code: string;
  text: RegExp;
  args: () => { model?: string; data?: string; more?: string[] };
}

const CASES: Case[] = [
  {
    name: 'truncated safetensors',
    code: 'SAFETENSORS_INVALID',
    text: /model\.safetensors/,
    args: () => ({ model: spoiled((model) => truncateSync(join(model, WEIGHTS), 1_000_000)) }),
  },
  {
    name: 'safetensors cut inside the header',
    code: 'SAFETENSORS_INVALID',
    text: /model\.safetensors/,
    args: () => ({ model: spoiled((model) => truncateSync(join(model, WEIGHTS), 100)) }),
  },
  {
    name: 'a weight of a wrong shape',
    code: 'WEIGHTS_INVALID',
    text: /q_proj\.weight has the shape \[96, 384\]; config\.json asks for \[192, 192\]/,
    args: () => ({
      model: spoiled((model) =>
        changeHeader(model, (header) => {
          const tensor = header['model.layers.0.self_attn.q_proj.weight'];
          if (tensor) tensor.shape = [96, 384];
        }),
      ),
    }),
  },
  {
    name: 'a missing weight',
    code: 'WEIGHTS_INVALID',
    text: /no weight model\.layers\.6\./,
    args: () => ({ model: spoiled((model) => changeConfig(model, { num_hidden_layers: 7 })) }),
  },
  {
    name: 'NaN in the weights',
    code: 'WEIGHTS_INVALID',
    text: /not a number/,
    args: () => ({
      model: spoiled((model) => {
        const path = join(model, WEIGHTS);
        const bytes = readFileSync(path);
        bytes.writeUInt16LE(0x7fc0, bytes.length - 1000);
        writeFileSync(path, bytes);
      }),
    }),
  },
  {
    name: 'an unknown architecture',
    code: 'MODEL_UNSUPPORTED',
    text: /MambaForCausalLM.*Llama/,
    args: () => ({
      model: spoiled((model) =>
        changeConfig(model, { architectures: ['MambaForCausalLM'], model_type: 'mamba' }),
      ),
    }),
  },
  {
    name: 'a missing tokenizer',
    code: 'TOKENIZER_MISSING',
    text: /no tokenizer\.json/,
    args: () => ({ model: spoiled((model) => rmSync(join(model, 'tokenizer.json'))) }),
  },
  {
    name: 'a config that is no JSON',
    code: 'JSON_INVALID',
    text: /config\.json/,
    args: () => ({
      model: spoiled((model) => writeFileSync(join(model, 'config.json'), '{"hidden_size": ')),
    }),
  },
  {
    name: 'an empty model folder',
    code: 'MODEL_INCOMPLETE',
    text: /no config\.json/,
    args: () => {
      const model = join(folder, 'nothing');
      mkdirSync(model);
      return { model };
    },
  },
  {
    name: 'empty data',
    code: 'DATA_EMPTY',
    text: /empty\.jsonl has no rows/,
    args: () => ({ data: dataFile('empty.jsonl', '\n') }),
  },
  {
    name: 'malformed data',
    code: 'DATA_FORMAT',
    text: /broken\.jsonl has no row in a known format/,
    args: () => ({ data: dataFile('broken.jsonl', '{"messages": [\n{"text"\nnothing\n') }),
  },
  {
    name: 'data in which nothing is trained',
    code: 'DATA_NOTHING_TRAINED',
    text: /Nothing would be trained/,
    args: () => ({ data: dataFile('nothing.jsonl', '{"input_ids": [1, 2], "labels": [-100, -100]}') }),
  },
  {
    name: 'missing data',
    code: 'FILE_NOT_FOUND',
    text: /missing\.jsonl/,
    args: () => ({ data: join(folder, 'missing.jsonl') }),
  },
  {
    name: 'a learning rate of 1e9',
    code: 'LOSS_NOT_FINITE',
    text: /learning rate/,
    args: () => ({ more: ['--lr', '1e9', '--steps', '4'] }),
  },
  {
    name: 'a single step at a learning rate of 1e9',
    code: 'LOSS_NOT_FINITE',
    text: /learning rate/,
    args: () => ({ more: ['--lr', '1e9', '--steps', '1'] }),
  },
  {
    name: 'an adapter for another model',
    code: 'ADAPTER_MISMATCH',
    text: /does not fit this model/,
    args: () => ({ more: ['--init-adapter', OTHER_ADAPTER] }),
  },
];

test.each(CASES)('finetune refuses $name', async ({ code, text, args }) => {
  const { model = 'tiny', data = rows, more = [] } = args();
  const target = join(folder, `out-${count++}`);
  mkdirSync(target);
  for (const out of [join(target, 'adapter'), join(target, 'adapter.tar.gz')].slice(
    0,
    more.length > 0 ? 1 : 2,
  )) {
    const outcome = await lorikeet(['finetune', '--model', model, '--data', data, '--out', out, ...more]);
    expect(outcome, outcome.stderr).toMatchObject({ code: 1, stdout: '' });
    expect(errorOf(outcome).code).toBe(code);
    expect(errorOf(outcome).text).toMatch(text);
    expectNothingAt(target);
  }
});

test.each(['generate', 'evaluate'])('%s refuses an adapter for another model', async (command) => {
  const task = command === 'generate' ? ['--prompt', 'Hi'] : ['--data', rows];
  const outcome = await lorikeet([command, '--model', 'tiny', '--adapter', OTHER_ADAPTER, ...task]);
  expect(outcome).toMatchObject({ code: 1, stdout: '' });
  expect(errorOf(outcome)).toMatchObject({ code: 'ADAPTER_MISMATCH' });
});

test('rows that cannot be used are named with their lines and reasons', async () => {
  const lines = readFileSync(rows, 'utf8').split('\n').slice(0, 2);
  const data = dataFile('some.jsonl', [lines[0], '{"messages": []}', lines[1], 'nothing', ''].join('\n'));
  const out = join(folder, 'some');
  const outcome = await lorikeet([
    'finetune',
    '--model',
    'tiny',
    '--data',
    data,
    '--out',
    out,
    '--steps',
    '1',
    '--json',
  ]);
  expect(outcome.code, outcome.stderr).toBe(0);
  expect(outcome.stderr).toMatch(/^some\.jsonl:2: left out: .+$/m);
  expect(outcome.stderr).toMatch(/^some\.jsonl:4: left out: .+$/m);
  const { data: account } = JSON.parse(outcome.stdout) as {
    data: { trainRows: number; rejected: { line: number }[] };
  };
  expect(account.trainRows).toBe(2);
  expect(account.rejected.map(({ line }) => line)).toEqual([2, 4]);
});

test('without any driver the one that Chromium ships is used, or its lack is named', async () => {
  const none = { VK_ICD_FILENAMES: '/nowhere.json', VK_DRIVER_FILES: '/nowhere.json' };
  const args = ['generate', '--model', 'tiny', '--prompt', 'Hi', '--max-tokens', '1'];
  const outcome = await lorikeet(args, { env: none });
  const found = outcome.code === 0 ? /GPU: .*SwiftShader/i : /lorikeet: GPU_UNAVAILABLE: /;
  expect(outcome.stderr).toMatch(found);
});
