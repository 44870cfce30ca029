import { describe, expect, it } from 'vitest';
import type { Adapter } from './adapter.ts';
import { memoryFileSet } from './file-set.ts';
import { readPeftFolder } from './import-layout.ts';
import { peftConfigText } from './peft-write.ts';
import { safetensorsEntry, type TensorToWrite } from './safetensors-write.ts';
import { adapterFolder, llamaPaths, testAdapter } from './testing-adapter.ts';
import { codeOf, collect } from './testing.ts';

const INVALID = 'ADAPTER_INVALID';
const UNSUPPORTED = 'ADAPTER_UNSUPPORTED';

/** The config of the test adapter with some fields changed; `undefined` takes a field away. */
function config(changes: Record<string, unknown> = {}, adapter: Adapter = testAdapter()): string {
  const written = JSON.parse(peftConfigText(adapter, { fanInFanOut: false, revision: null })) as object;
  return JSON.stringify({ ...written, ...changes });
}

const withConfig = async (text: string, adapter?: Adapter) =>
  readPeftFolder(await adapterFolder({ 'adapter_config.json': text }, adapter));

interface Raw {
  dtype?: string;
  shape: number[];
}

/** A folder with the test config and these tensors, all zero. */
async function withTensors(tensors: Record<string, Raw>, text = config()) {
  const sizes: Record<string, number> = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, I8: 1 };
  const list = Object.entries(tensors).map(([name, { dtype = 'F32', shape }]): TensorToWrite => {
    const length = shape.reduce((a, b) => a * b, sizes[dtype] ?? 0);
    return { name, dtype, shape, bytes: () => new Uint8Array(length) };
  });
  const bytes = await collect(safetensorsEntry('x', list).chunks());
  return readPeftFolder(
    await adapterFolder({ 'adapter_config.json': text, 'adapter_model.safetensors': bytes }),
  );
}

const Q0 = 'base_model.model.model.layers.0.self_attn.q_proj';
const pair = (path: string, rank = 2): Record<string, Raw> => ({
  [`${path}.lora_A.weight`]: { shape: [rank, 8] },
  [`${path}.lora_B.weight`]: { shape: [8, rank] },
});

describe('readPeftFolder', () => {
  it('gives back what was written, in the order of the model', async () => {
    const adapter = testAdapter({ rslora: true, dropout: 0.1 }, llamaPaths(12));
    const read = await readPeftFolder(await adapterFolder({}, adapter));
    expect(read.adapter).toEqual(adapter);
    expect(read).toMatchObject({ warnings: [], dtypes: ['F32'], fanInFanOut: false });
    expect(read.adapter.tensors.map((t) => t.name).slice(60, 62)).toEqual([
      'model.layers.10.self_attn.q_proj.lora_A.weight',
      'model.layers.10.self_attn.q_proj.lora_B.weight',
    ]);
  });

  it('37: says what is missing and what is there', async () => {
    const message = async (changes: Record<string, null>) =>
      readPeftFolder(await adapterFolder(changes)).catch((error: Error) => error.message);
    expect(await message({ 'adapter_config.json': null })).toBe(
      'my-adapter has no adapter_config.json (found: adapter_model.safetensors).',
    );
    expect(await message({ 'adapter_model.safetensors': null })).toBe(
      'my-adapter has no adapter_model.safetensors (found: adapter_config.json).',
    );
  });

  const badConfigs: (readonly [string, string, string])[] = [
    ['38 byte order mark', `\ufeff${config()}`, INVALID],
    ['39 peft_type absent', config({ peft_type: undefined }), INVALID],
    ['39 IA3', config({ peft_type: 'IA3' }), UNSUPPORTED],
    ['39 an unknown method', config({ peft_type: 'XYZ' }), UNSUPPORTED],
    ['39 a number', config({ peft_type: 1 }), INVALID],
    ['39 MLX', '{"fine_tune_type":"lora","num_layers":4}', UNSUPPORTED],
    ['another task', config({ task_type: 'SEQ_CLS' }), UNSUPPORTED],
    ...[0, -1, 1e9, '8', 8.5, true].map(
      (r) => [`40 r = ${JSON.stringify(r)}`, config({ r }), INVALID] as const,
    ),
    ['40 r = NaN', config().replace('"r":2', '"r":NaN'), INVALID],
    ...[0, -1, 1e30, '8'].map((a) => [`41 alpha = ${a}`, config({ lora_alpha: a }), INVALID] as const),
    ['dropout 1', config({ lora_dropout: 1 }), INVALID],
    ['rslora "yes"', config({ use_rslora: 'yes' }), INVALID],
    ['42 r other than in the tensors', config({ r: 4 }), INVALID],
    [
      '43 rank_pattern against the tensors',
      config({ rank_pattern: { 'layers.1.mlp.down_proj': 4 } }),
      INVALID,
    ],
    ['43 rank 0 in the pattern', config({ rank_pattern: { q_proj: 0 } }), INVALID],
    ['43 the pattern is a list', config({ rank_pattern: ['q_proj'] }), INVALID],
    ['44 a regex in rank_pattern', config({ rank_pattern: { '(a+)+$': 2 } }), UNSUPPORTED],
    ['44 a regex in alpha_pattern', config({ alpha_pattern: { '.*q_proj|(x*)*': 2 } }), UNSUPPORTED],
    ['44 a regex in the target list', config({ target_modules: ['(a+)+$'] }), INVALID],
    [
      '45 a pattern beside a list of layers',
      config({ target_modules: 'x', layers_to_transform: 0 }),
      INVALID,
    ],
    ...[[0], 0, [0, 2], '0', [-1], [0.5], true].map(
      (layers) =>
        [
          `48 the layers ${JSON.stringify(layers)} beside tensors of 0 and 1`,
          config({ layers_to_transform: layers }),
          INVALID,
        ] as const,
    ),
    ['48 tensors of an excluded module', config({ exclude_modules: ['v_proj'] }), INVALID],
    ['48 excluded modules that are no names', config({ exclude_modules: [3] }), INVALID],
    ['48 excluded modules that are no list', config({ exclude_modules: 3 }), INVALID],
    ['target modules empty', config({ target_modules: [] }), INVALID],
    ['target modules a number', config({ target_modules: 3 }), INVALID],
    ['49 DoRA', config({ use_dora: true }), UNSUPPORTED],
    ['49 lora_bias', config({ lora_bias: true }), UNSUPPORTED],
    ['49 bias', config({ bias: 'lora_only' }), UNSUPPORTED],
    ['49 modules_to_save', config({ modules_to_save: ['lm_head'] }), UNSUPPORTED],
    ['49 aLoRA', config({ alora_invocation_tokens: [1] }), UNSUPPORTED],
    ['49 bdlora', config({ use_bdlora: true }), UNSUPPORTED],
    ['49 trained tokens', config({ trainable_token_indices: [1] }), UNSUPPORTED],
    ['49 QA-LoRA', config({ use_qalora: true }), UNSUPPORTED],
    ['50 pissa', config({ init_lora_weights: 'pissa' }), UNSUPPORTED],
    ['50 pissa_niter_4', config({ init_lora_weights: 'pissa_niter_4' }), UNSUPPORTED],
    ['50 corda', config({ init_lora_weights: 'corda' }), UNSUPPORTED],
    ['50 lora_ga', config({ init_lora_weights: 'lora_ga' }), UNSUPPORTED],
    ['50 loftq', config({ init_lora_weights: 'loftq' }), UNSUPPORTED],
    ['50 olora', config({ init_lora_weights: 'olora' }), UNSUPPORTED],
    ...['javascript:alert(1)', 'https://example.com/x', '<b>x</b>', 'a\u0000b', 'x'.repeat(2000), 7].map(
      (name) =>
        [`51 base ${String(name).slice(0, 12)}`, config({ base_model_name_or_path: name }), INVALID] as [
          string,
          string,
          string,
        ],
    ),
    ['53 10 MB of JSON', `${config()}${' '.repeat(10_000_000)}`, 'INPUT_TOO_LARGE'],
    ['not JSON', 'r: 8', INVALID],
    ['a duplicate field', config().replace('"r":2', '"r":2,"r":4'), INVALID],
  ];
  it.each(badConfigs)('refuses %s', async (_, text, code) => {
    expect(await codeOf(() => withConfig(text))).toBe(code);
  });

  it('38: refuses UTF-16', async () => {
    const utf16 = new Uint8Array(Buffer.from(config(), 'utf16le'));
    expect(
      await codeOf(async () => readPeftFolder(await adapterFolder({ 'adapter_config.json': utf16 }))),
    ).toBe(INVALID);
  });

  it('41, 50: reads a float alpha and the initialisations that leave the base alone', async () => {
    expect((await withConfig(config({ lora_alpha: 2.5 }))).adapter.settings.alpha).toBe(2.5);
    expect((await withConfig(config({ init_lora_weights: 'gaussian' }))).warnings).toEqual([]);
    expect((await withConfig(config({ init_lora_weights: false }))).warnings).toEqual([]);
  });

  it('43: reads rank and alpha per module, the first entry that fits', async () => {
    const adapter = testAdapter({ rankPattern: { 'model.layers.1.mlp.down_proj': 3 } });
    const text = config(
      {
        rank_pattern: { '^model\\.layers\\.1\\.mlp.down_proj': 3, down_proj: 2 },
        alpha_pattern: { q_proj: 16.5 },
      },
      adapter,
    );
    const { settings } = (await withConfig(text, adapter)).adapter;
    expect(settings.rankPattern).toEqual({ 'model.layers.1.mlp.down_proj': 3 });
    expect(settings.alphaPattern).toEqual({
      'model.layers.0.self_attn.q_proj': 16.5,
      'model.layers.1.self_attn.q_proj': 16.5,
    });
  });

  it('44, 45: resolves all-linear, null and patterns from the tensors, without running them', async () => {
    for (const target of ['all-linear', null]) {
      const { settings } = (await withConfig(config({ target_modules: target }))).adapter;
      expect(settings.targetModules).toEqual(['down_proj', 'q_proj', 'v_proj']);
      expect(settings.targetPaths).toBeUndefined();
    }
    const evil = `(${'(a+)+'.repeat(1000)})$`;
    const { settings } = (await withConfig(config({ target_modules: evil }))).adapter;
    expect(settings.targetPaths).toEqual(Object.keys(llamaPaths(2)).sort());
  });

  it('45: keeps paths where the config limits the layers', async () => {
    const some = testAdapter({}, { 'model.layers.1.self_attn.q_proj': [8, 8] });
    const text = config({ layers_to_transform: [1] }, some);
    const { settings } = (await withConfig(text, some)).adapter;
    expect(settings.targetPaths).toEqual(['model.layers.1.self_attn.q_proj']);
    const listed = config({ target_modules: ['layers.1.self_attn.q_proj'] }, some);
    expect((await withConfig(listed, some)).adapter.settings.targetModules).toEqual(['q_proj']);
  });

  it('44: a list of names as long as a config may be takes no time over many modules', async () => {
    const paths = Object.fromEntries(
      Array.from({ length: 3000 }, (_, i) => [`model.layers.${String(i)}.q_proj`, [1, 1]] as const),
    );
    const adapter = testAdapter({ rank: 1 }, paths);
    const names = Array.from({ length: 60_000 }, (_, i) => `n${String(i)}`);
    const pattern = Object.fromEntries(names.slice(0, 20_000).map((name) => [name, 1]));
    const text = config({ target_modules: [...names, 'q_proj'], rank_pattern: pattern }, adapter);
    const start = performance.now();
    expect((await withConfig(text, adapter)).adapter.tensors).toHaveLength(6000);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('48: reads the layers that the config names, and misses one between them', async () => {
    const two = testAdapter(
      {},
      { 'model.layers.1.self_attn.q_proj': [8, 8], 'model.layers.3.self_attn.q_proj': [8, 8] },
    );
    const code = (changes: object) => codeOf(() => withConfig(config({ ...changes }, two), two));
    expect(await code({ layers_to_transform: [1, 3] })).toBe('no error');
    expect(await code({ layers_to_transform: [1, 2, 3] })).toBe(INVALID);
    expect(await code({})).toBe(INVALID);
    expect(await code({ exclude_modules: ['layers.0.self_attn.q_proj', 'k_proj'] })).toBe('no error');
    expect(await code({ exclude_modules: '.*' })).toBe('no error');
    // PEFT's own rule: a module that is named by its whole path is adapted in any layer.
    const path = 'model.layers.3.self_attn.q_proj';
    const one = testAdapter({}, { [path]: [8, 8] });
    const listed = config({ target_modules: [path], layers_to_transform: [1] }, one);
    expect(await codeOf(() => withConfig(listed, one))).toBe('no error');
  });

  const badTensors: [string, Record<string, Raw>, string][] = [
    ['46 no prefix', pair('model.layers.0.self_attn.q_proj'), INVALID],
    ['46 double prefix', pair(`base_model.model.${Q0}`), INVALID],
    ['46 adapter name left in', { [`${Q0}.lora_A.default.weight`]: { shape: [2, 8] } }, INVALID],
    ['46 MLX keys', { 'model.layers.0.self_attn.q_proj.lora_a': { shape: [8, 2] } }, UNSUPPORTED],
    ['46 Kohya keys', { 'lora_unet_x.lora_down.weight': { shape: [2, 8] } }, UNSUPPORTED],
    ['46 diffusers keys', pair('unet.down.attn.to_q'), UNSUPPORTED],
    ['46 another tensor', { 'base_model.model.x': { shape: [1] } }, UNSUPPORTED],
    ['47 A without B', { [`${Q0}.lora_A.weight`]: { shape: [2, 8] } }, INVALID],
    ['47 B without A', { [`${Q0}.lora_B.weight`]: { shape: [8, 2] } }, INVALID],
    [
      '47 A and B swapped',
      { [`${Q0}.lora_A.weight`]: { shape: [8, 2] }, [`${Q0}.lora_B.weight`]: { shape: [2, 8] } },
      INVALID,
    ],
    [
      '47 B transposed',
      { [`${Q0}.lora_A.weight`]: { shape: [2, 8] }, [`${Q0}.lora_B.weight`]: { shape: [2, 8] } },
      INVALID,
    ],
    ['47 one dimension', { ...pair(Q0), [`${Q0}.lora_A.weight`]: { shape: [16] } }, INVALID],
    ['47 empty', { ...pair(Q0), [`${Q0}.lora_A.weight`]: { shape: [2, 0] } }, INVALID],
    ['48 a layer left out', { ...pair(Q0), ...pair(Q0.replace('.0.', '.2.')) }, INVALID],
    ['48 a module left out', { ...pair(Q0), ...pair(Q0.replace('.0.', '.1.').replace('q_', 'v_')) }, INVALID],
    ['48 a module that is not named', pair(Q0.replace('q_proj', 'k_proj')), INVALID],
    ['48 layer 1000000', pair(Q0.replace('.0.', '.1000000.')), INVALID],
    ['48 layer 01', { ...pair(Q0), ...pair(Q0.replace('.0.', '.01.')) }, INVALID],
    ['49 DoRA vector', { ...pair(Q0), [`${Q0}.lora_magnitude_vector`]: { shape: [8] } }, UNSUPPORTED],
    ['49 a bias', { ...pair(Q0), [`${Q0}.lora_B.bias`]: { shape: [8] } }, UNSUPPORTED],
    [
      '49 embedding LoRA',
      { 'base_model.model.model.embed_tokens.lora_embedding_A': { shape: [2, 9] } },
      UNSUPPORTED,
    ],
    ['49 a whole module', { ...pair(Q0), 'base_model.model.lm_head.weight': { shape: [9, 8] } }, UNSUPPORTED],
    ['54 fp8', { [`${Q0}.lora_A.weight`]: { dtype: 'F8_E4M3', shape: [2, 8] } }, UNSUPPORTED],
    ['54 int8', { [`${Q0}.lora_A.weight`]: { dtype: 'I8', shape: [2, 8] } }, UNSUPPORTED],
    ['46 a path of a hundred parts', pair(Q0.replace('layers', `layers${'.x'.repeat(100)}`)), INVALID],
    ['no tensors', {}, INVALID],
  ];
  it.each(badTensors)('refuses %s', async (_, tensors, code) => {
    expect(await codeOf(() => withTensors(tensors))).toBe(code);
  });

  it('51: drops a base given by a relative path, and keeps names and local paths', async () => {
    const base = async (name: string) => withConfig(config({ base_model_name_or_path: name }));
    const relative = await base('../../etc/passwd');
    expect(relative.adapter.baseModel).toBeNull();
    expect(relative.warnings[0]).toContain('relative path');
    for (const name of ['acme/model', '/data/models/x', 'C:\\models\\x', './model']) {
      expect((await base(name)).adapter.baseModel).toBe(name);
    }
  });

  it('52: reads past unknown fields and runtime_config, and names them', async () => {
    const read = await withConfig(config({ future_field: 1, runtime_config: { x: 1 } }));
    expect(read.warnings).toEqual([
      'adapter_config.json has fields that are not known here and are ignored: future_field.',
      'runtime_config in adapter_config.json is ignored.',
    ]);
  });

  it('warns of targets without tensors', async () => {
    const read = await withConfig(config({ target_modules: ['q_proj', 'v_proj', 'down_proj', 'query'] }));
    expect(read.warnings).toEqual(['target_modules names query, for which there are no tensors.']);
    expect(read.adapter.settings.targetModules).toEqual(['down_proj', 'q_proj', 'v_proj']);
  });

  it('54: decodes float16 and bfloat16', async () => {
    for (const dtype of ['F16', 'BF16']) {
      const tensors = Object.fromEntries(Object.entries(pair(Q0)).map(([k, v]) => [k, { ...v, dtype }]));
      const read = await withTensors(tensors);
      expect(read.dtypes).toEqual([dtype]);
      expect([...(read.adapter.tensors[0]?.data ?? [])]).toEqual(Array.from({ length: 16 }, () => 0));
    }
  });

  it('35: counts values that are not finite', async () => {
    const adapter = testAdapter();
    adapter.tensors[0]?.data.set([NaN, Infinity]);
    const read = await readPeftFolder(await adapterFolder({}, adapter));
    expect(read.warnings[0]).toMatch(/q_proj\.lora_A\.weight holds 2 values that are NaN or infinite/);
  });

  it('55: refuses several adapters in sub-folders', async () => {
    const empty = new Uint8Array(0);
    const files = memoryFileSet(
      'two',
      new Map([
        ['a/adapter_config.json', empty],
        ['b/adapter_config.json', empty],
      ]),
    );
    await expect(readPeftFolder(files)).rejects.toThrow('two holds 2 adapters: a/adapter_config.json, b/');
  });
});
