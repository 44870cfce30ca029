import { expect, test } from 'vitest';
import type { StudioError } from '../errors.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { openModel } from './open-model.ts';
import { changedTiny, NOW, openTiny, tinyText } from './testing.ts';

async function refusal(changes: Record<string, string | null>): Promise<StudioError> {
  const files = await changedTiny(changes);
  return openModel(files, 'changed', NOW).then(
    () => expect.fail('it was opened'),
    (error: StudioError) => error,
  );
}

const changedConfig = (change: object): Record<string, string> => ({
  'config.json': JSON.stringify({ ...(JSON.parse(tinyText('config.json')) as object), ...change }),
});

test('opens the embedded model', async () => {
  const model = await openTiny();
  expect(model).toMatchObject({ id: 'lorikeet-tiny', revision: null, dtype: 'BF16', stopIds: [2] });
  expect(model.config).toMatchObject({ family: 'llama', numLayers: 6, vocabSize: 4096 });
  expect(model.parameters).toBeGreaterThan(2_500_000);
  expect(model.weightBytes).toBe(model.parameters * 2);
  expect(model.template).toBeDefined();
  expect(model.hashes.configSha256).toBe(sha256Hex(tinyText('config.json')));
  expect(model.tokenizerFiles.map(({ path }) => path).sort()).toEqual([
    'chat_template.jinja',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
});

test('collects every token that ends an answer', async () => {
  const files = await changedTiny({
    ...changedConfig({ eos_token_id: [0, 2] }),
    'generation_config.json': '{"eos_token_id": 7}',
  });
  expect((await openModel(files, 'changed', NOW)).stopIds).toEqual([0, 2, 7]);
});

test('finds the end of a turn in the chat template alone', async () => {
  const files = await changedTiny({
    ...changedConfig({ eos_token_id: null }),
    'generation_config.json': null,
    'tokenizer_config.json': '{"eos_token": "<|endoftext|>"}',
  });
  const model = await openModel(files, 'changed', NOW);
  expect(model.tokenizer.eosId).toBe(0);
  expect(model.stopIds).toEqual([0, 2]);
});

test('keeps the commit of a model from the Hub', async () => {
  const model = await openModel(await changedTiny({}), 'owner/name', NOW, 'abc');
  expect(model).toMatchObject({ id: 'owner/name', revision: 'abc' });
});

test.each([
  [
    'an unknown architecture',
    changedConfig({ architectures: ['MambaForCausalLM'] }),
    'MODEL_UNSUPPORTED',
    /Mamba/,
  ],
  ['no tokenizer', { 'tokenizer.json': null }, 'TOKENIZER_MISSING', /tokenizer\.json/],
  ['no tokenizer config', { 'tokenizer_config.json': null }, 'TOKENIZER_MISSING', /tokenizer_config\.json/],
  ['no weights', { 'model.safetensors': null }, 'MODEL_INCOMPLETE', /model\.safetensors/],
  ['no config', { 'config.json': null }, 'MODEL_INCOMPLETE', /config\.json/],
])('refuses a folder with %s', async (_name, changes, code, message) => {
  const error = await refusal(changes);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(error.fix).not.toBe('');
});

test('refuses weights of a dtype that is not computed', async () => {
  const header = JSON.stringify({ 'model.norm.weight': { dtype: 'I8', shape: [4], data_offsets: [0, 4] } });
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(header.length), true);
  const text = new TextDecoder('latin1').decode(length.buffer) + header + '\0'.repeat(4);
  const error = await refusal({ 'model.safetensors': text });
  expect(error.code).toBe('MODEL_UNSUPPORTED');
  expect(error.message).toContain('I8 weights (model.norm.weight)');
});
