import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { blobFileSet, memoryFileSet, withoutCommonFolder, type FileSet } from './file-set.ts';
import { readModelFolder } from './model-folder.ts';
import { sha256Hex } from './sha256.ts';
import { codeOf } from './testing.ts';
import { safetensorsFile } from './testing-safetensors-corpus.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const tensor = (name: string, value: number) =>
  safetensorsFile(
    { [name]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } },
    new Uint8Array(new Float32Array([value]).buffer),
  );

const complete: Record<string, Uint8Array<ArrayBuffer>> = {
  'config.json': utf8('{"model_type":"llama","hidden_size":8}'),
  'model.safetensors': tensor('w', 1),
  'tokenizer.json': utf8('{"version":"1.0"}'),
  'tokenizer_config.json': utf8('{"eos_token":"</s>"}'),
  'generation_config.json': utf8('{"eos_token_id":[2,7]}'),
};

function folder(changes: Record<string, Uint8Array<ArrayBuffer> | null> = {}): FileSet {
  const files = new Map(Object.entries({ ...complete, ...changes }));
  return memoryFileSet(
    'my-model',
    new Map([...files].flatMap(([name, bytes]) => (bytes === null ? [] : [[name, bytes]]))),
  );
}

const index = (map: Record<string, unknown>) => utf8(JSON.stringify({ metadata: {}, weight_map: map }));
const weightsOf = async (files: FileSet) => (await readModelFolder(files)).openWeights();

describe('readModelFolder', () => {
  it('reads all parts', async () => {
    const model = await readModelFolder(folder({ 'chat_template.jinja': utf8('{{ messages }}') }));
    expect({ ...model.config }).toEqual({ model_type: 'llama', hidden_size: 8 });
    expect(model.tokenizerJson).toBe('{"version":"1.0"}');
    expect(model.tokenizerConfigJson).toBe('{"eos_token":"</s>"}');
    expect(model.chatTemplate).toBe('{{ messages }}');
    expect(model.specialTokensMapJson).toBeNull();
    expect(model.eosTokenIds).toEqual([2, 7]);
    expect([...model.tokenizerFiles.keys()]).toEqual([
      'tokenizer.json',
      'tokenizer_config.json',
      'chat_template.jinja',
    ]);
    expect(model.configSha256()).toBe(sha256Hex(complete['config.json'] ?? ''));
    expect(model.tokenizerSha256()).toBe(sha256Hex('{"version":"1.0"}'));
    expect((await model.openWeights()).list().map((t) => t.name)).toEqual(['w']);
  });

  it('reads the embedded model, as files dropped in a folder', async () => {
    const dir = new URL('../../public/models/lorikeet-tiny/', import.meta.url);
    const dropped = readdirSync(dir).map((name) => ({
      path: `model/${name}`,
      blob: new Blob([readFileSync(new URL(name, dir))]),
    }));
    const model = await readModelFolder(withoutCommonFolder(blobFileSet('dropped', dropped)));
    expect(model.config['architectures']).toEqual(['LlamaForCausalLM']);
    const weights = await model.openWeights();
    expect(weights.get('model.embed_tokens.weight')?.dtype).toBe('BF16');
  });

  it('takes one eos token, none, or no generation config', async () => {
    const eos = async (text: string | null) =>
      (await readModelFolder(folder({ 'generation_config.json': text === null ? null : utf8(text) })))
        .eosTokenIds;
    expect(await eos('{"eos_token_id":3}')).toEqual([3]);
    expect(await eos('{"eos_token_id":null}')).toEqual([]);
    expect(await eos(null)).toEqual([]);
    expect(await codeOf(() => eos('{"eos_token_id":"x"}'))).toBe('MODEL_INVALID');
  });

  it.each([
    ['no config', { 'config.json': null }, 'MODEL_INCOMPLETE', /my-model has no config\.json \(found: model/],
    ['no weights', { 'model.safetensors': null }, 'MODEL_INCOMPLETE', /no model\.safetensors/],
    [
      'pickled weights only',
      { 'model.safetensors': null, 'pytorch_model.bin': utf8('x') },
      'MODEL_UNSUPPORTED',
      /as pytorch_model\.bin; supported is model\.safetensors/,
    ],
    ['no tokenizer', { 'tokenizer.json': null }, 'TOKENIZER_MISSING', /no tokenizer\.json/],
    ['a config that is not JSON', { 'config.json': utf8('{') }, 'JSON_INVALID', /config\.json/],
    ['a config that is a list', { 'config.json': utf8('[]') }, 'JSON_INVALID', /holds an array/],
    [
      'a config of 2 MB',
      { 'config.json': utf8(`{}${' '.repeat(2 ** 21)}`) },
      'INPUT_TOO_LARGE',
      /at most 1048576/,
    ],
    [
      'a tokenizer that is not text',
      { 'tokenizer.json': new Uint8Array([0xff]) },
      'TOKENIZER_INVALID',
      /not UTF-8/,
    ],
  ] as const)('refuses %s', async (_, changes, code, message) => {
    expect(await codeOf(() => readModelFolder(folder(changes)))).toBe(code);
    await expect(readModelFolder(folder(changes))).rejects.toThrow(message);
  });

  it('uses safetensors where pickled weights lie beside them', async () => {
    expect((await weightsOf(folder({ 'pytorch_model.bin': utf8('x') }))).get('w')).toBeDefined();
  });

  it('says so when an adapter is taken for a model', async () => {
    const files = folder({ 'config.json': null, 'adapter_config.json': utf8('{}') });
    await expect(readModelFolder(files)).rejects.toMatchObject({ fix: /^This is an adapter/ });
  });
});

describe('sharded weights', () => {
  const shards = {
    'model.safetensors': null,
    'model-00001-of-00002.safetensors': tensor('a', 1),
    'model-00002-of-00002.safetensors': tensor('b', 2),
  };
  const map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' };
  const withIndex = (bytes: Uint8Array<ArrayBuffer>) =>
    folder({ ...shards, 'model.safetensors.index.json': bytes });

  it('are one source', async () => {
    const weights = await weightsOf(withIndex(index(map)));
    expect(weights.list().map((t) => t.name)).toEqual(['a', 'b']);
    expect(new Float32Array((await weights.read('b')).slice().buffer)[0]).toBe(2);
    expect(weights.get('c')).toBeUndefined();
    expect(await codeOf(() => weights.read('c'))).toBe('WEIGHTS_INVALID');
  });

  it.each([
    ['a folder above', index({ ...map, a: '../x.safetensors' })],
    ['a folder below', index({ ...map, a: 'sub/x.safetensors' })],
    ['an address', index({ ...map, a: 'https://example.com/x.safetensors' })],
    ['a drive', index({ ...map, a: 'C:x.safetensors' })],
    ['a number', index({ ...map, a: 1 })],
    ['no map', utf8('{}')],
    ['an empty map', index({})],
    ['no JSON', utf8('weight_map')],
    [
      'more than 1000 shards',
      index(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `s${i}.safetensors`]))),
    ],
    ['a tensor that its shard lacks', index({ ...map, c: 'model-00002-of-00002.safetensors' })],
    ['a tensor in the wrong shard', index({ ...map, b: 'model-00001-of-00002.safetensors' })],
    [
      'too few tensors',
      index({ a: 'model-00001-of-00002.safetensors', c: 'model-00002-of-00002.safetensors' }),
    ],
  ])('are refused when the index names %s', async (_, bytes) => {
    expect(await codeOf(() => weightsOf(withIndex(bytes)))).toBe('WEIGHTS_INVALID');
  });

  it('are incomplete when a shard is missing, by name', async () => {
    const files = withIndex(index({ ...map, c: 'model-00003-of-00003.safetensors' }));
    await expect(weightsOf(files)).rejects.toThrow(
      'lacks 1 of 3 weight files: model-00003-of-00003.safetensors',
    );
  });
});
