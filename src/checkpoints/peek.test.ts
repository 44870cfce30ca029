import { describe, expect, test } from 'vitest';
import { archiveEntries } from '../formats/archive-write.ts';
import { bytesSource } from '../formats/bytes.ts';
import { memoryFileSet, type FileSet } from '../formats/file-set.ts';
import { stateEntries } from '../formats/state-files.ts';
import { safetensorsEntry } from '../formats/safetensors-write.ts';
import { adapterFiles, testAdapter } from '../formats/testing-adapter.ts';
import { adapter as trainerAdapter, exported, filesOf } from '../formats/testing-hf.ts';
import { layoutAdapter } from '../engine/index.ts';
import { tarOfEntries, testExport } from '../formats/testing-export.ts';
import { testState } from '../formats/testing-state.ts';
import { collect } from '../formats/testing.ts';
import { openTiny } from '../run/testing.ts';
import { peek, type Peek } from './peek.ts';

const tiny = await openTiny();
const text = (content: string) => new TextEncoder().encode(content);
const tarSource = async (what = testExport()) =>
  bytesSource('x.tar', await tarOfEntries(await archiveEntries(what)));

async function folderOf(label: string, prefix: string, what = testExport()): Promise<FileSet> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of await archiveEntries(what))
    files.set(prefix + entry.path, await collect(entry.chunks()));
  return memoryFileSet(label, files);
}

const blocked = (look: Peek, name: string): string | null | undefined =>
  look.actions.find((action) => action.name === name)?.blocked;

const full = () => {
  const adapter = testAdapter();
  return testExport({ adapter, stateFiles: stateEntries(testState(adapter), adapter) });
};

describe('what is dropped is named', () => {
  test('a whole checkpoint: it can be added and resumed, and says why it does not fit what is loaded', async () => {
    const look = await peek(await tarSource(full()), tiny);
    expect(look).toMatchObject({ kind: 'checkpoint', error: null });
    expect(look.facts).toEqual(expect.arrayContaining([{ label: 'Base model', value: 'acme/tiny-llama' }]));
    expect(blocked(look, 'add')).toBe(null);
    expect(blocked(look, 'resume')).toBe(null);
    expect(blocked(look, 'warm-start')).toContain('acme/tiny-llama');
  });

  test('an adapter of ours, in a folder: no state to resume', async () => {
    const look = await peek(await folderOf('dropped', 'adapter-1/'), null);
    expect(look).toMatchObject({ kind: 'adapter', title: 'Adapter of Lorikeet, without training state' });
    expect(blocked(look, 'resume')).toContain('no training state');
    expect(blocked(look, 'warm-start')).toBe('Load its base model first.');
  });

  test('an adapter of another program that does not fit names the layer', async () => {
    const entries = (await archiveEntries(testExport())).filter(({ path }) => path !== 'checkpoint.json');
    const look = await peek(bytesSource('peft.tar', await tarOfEntries(entries)), tiny);
    expect(look).toMatchObject({ kind: 'adapter', title: 'Adapter of PEFT' });
    expect(blocked(look, 'warm-start')).toContain('does not fit lorikeet-tiny');
  });

  test.each([
    ['rows.jsonl', '{"text": "hello"}'],
    ['rows.csv', 'prompt,completion\na,b'],
  ])('a data file, %s', async (name, content) => {
    expect(await peek(bytesSource(name, text(content)), tiny)).toMatchObject({
      kind: 'data',
      actions: [{ name: 'use-as-data', blocked: null }],
    });
  });

  test('a model folder', async () => {
    const files = memoryFileSet(
      'm',
      new Map([
        ['m/config.json', text('{}')],
        ['m/model.safetensors', text('x')],
      ]),
    );
    expect(await peek(files, tiny)).toMatchObject({ kind: 'model', actions: [{ name: 'use-as-model' }] });
  });

  test.each<[string, Uint8Array<ArrayBuffer>, string]>([
    ['a.zip', Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0), 'a.zip is a zip file'],
    ['empty.tar.gz', new Uint8Array(0), 'no file that is known here'],
    ['page.tar.gz', text('<!doctype html><p>Not found'), 'a html file'],
    ['photo.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47), 'no file that is known here'],
  ])('141: %s is named, and nothing is offered', async (name, bytes, message) => {
    const look = await peek(bytesSource(name, bytes), tiny);
    expect(look).toMatchObject({ kind: 'unknown', actions: [] });
    expect(look.error?.message).toContain(message);
  });

  test('141: a tar without gzip under the name of one is read by its content', async () => {
    const bytes = await tarOfEntries(await archiveEntries(testExport()));
    expect(await peek(bytesSource('really.tar.gz', bytes), null)).toMatchObject({ kind: 'adapter' });
  });

  test('an adapter with parts that are not computed here is refused by their name', async () => {
    const files = await folderOf('dora', '');
    const config = { peft_type: 'LORA', r: 8, lora_alpha: 16, target_modules: ['q_proj'], use_dora: true };
    const changed = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const name of files.names()) {
      const source = await files.open(name);
      if (name !== 'checkpoint.json') changed.set(name, await source.read(0, source.size));
    }
    changed.set('adapter_config.json', text(JSON.stringify(config)));
    const look = await peek(memoryFileSet('dora', changed), tiny);
    expect(look.error?.code).toBe('ADAPTER_UNSUPPORTED');
    expect(look.error?.message).toMatch(/DoRA|use_dora/);
  });
});

describe('adapters of other programs are told apart', () => {
  const LOADED = { fits: null, baseModel: 'acme/tiny-llama', rank: 2, alpha: 4 };
  const withFiles = async (
    changes: Readonly<Record<string, Uint8Array<ArrayBuffer> | string>>,
  ): Promise<FileSet> => {
    const files = await adapterFiles(testAdapter());
    for (const [name, content] of Object.entries(changes)) {
      files.set(name, typeof content === 'string' ? text(content) : content);
    }
    return memoryFileSet('dropped', files);
  };

  test('PEFT, a training service, MLX', async () => {
    const peft = await peek(await withFiles({}), null);
    expect(peft).toMatchObject({
      title: 'Adapter of PEFT',
      about: { source: 'peft', step: null, ...LOADED },
    });
    const files = await withFiles({ checkpoint_complete: '' });
    const entries = await Promise.all(
      files.names().map(async (path) => {
        const source = await files.open(path);
        const bytes = await source.read(0, source.size);
        return { path, size: source.size, chunks: () => [bytes] };
      }),
    );
    const service = await peek(bytesSource('t.tar', await tarOfEntries(entries)), null);
    expect(service).toMatchObject({ title: 'Adapter of a training service', about: { source: 'service' } });
    const data = Float32Array.from({ length: 16 }, (_, i) => i);
    const tensors = ['lora_a', 'lora_b'].map((factor) => ({
      name: `model.layers.0.self_attn.q_proj.${factor}`,
      dtype: 'F32' as const,
      shape: factor === 'lora_a' ? [8, 2] : [2, 8],
      bytes: () => new Uint8Array(data.buffer),
    }));
    const weights = await collect(safetensorsEntry('adapters.safetensors', tensors).chunks());
    const mlx = await peek(
      memoryFileSet(
        'mlx',
        new Map([
          ['adapters.safetensors', weights],
          [
            'adapter_config.json',
            text(
              JSON.stringify({
                fine_tune_type: 'lora',
                model: 'm/x',
                num_layers: 1,
                lora_parameters: { rank: 2, scale: 4, dropout: 0 },
              }),
            ),
          ],
        ]),
      ),
      null,
    );
    expect(mlx).toMatchObject({
      title: 'Adapter of MLX',
      about: { source: 'mlx', baseModel: 'm/x', rank: 2, alpha: 8, targets: ['q_proj'] },
    });
  });

  test('a Trainer checkpoint: its step, and why it is not resumed where its state is of no use', async () => {
    const trainer = async (changes: Partial<Parameters<typeof exported>[0]>) =>
      memoryFileSet(
        'checkpoint-10',
        new Map([...(await adapterFiles(trainerAdapter)), ...(await filesOf(exported(changes)))]),
      );
    const good = await peek(await trainer({}), null);
    expect(good).toMatchObject({
      kind: 'trainer',
      about: { source: 'trainer', step: 10, steps: 20, hasState: true },
    });
    expect(good.facts).toEqual(expect.arrayContaining([{ label: 'Step', value: '10 of 20' }]));
    expect(blocked(good, 'add')).toBe(null);
    expect(blocked(good, 'resume')).toContain('finetune --resume');
    const odd = await peek(await trainer({ learningRate: 1.234e-4 }), null);
    expect(blocked(odd, 'resume')).toContain('schedule cannot be told');
    expect(blocked(odd, 'add')).toBe(null);
    const half = await peek(await withFiles({ 'trainer_state.json': '{}' }), null);
    expect(half).toMatchObject({ kind: 'trainer', about: { step: null, hasState: false } });
    expect(blocked(half, 'add')).toContain('optimizer.pt');
    expect(blocked(half, 'resume')).toContain('optimizer.pt');
    const accelerate = await peek(await withFiles({ 'optimizer.bin': 'x' }), null);
    expect(blocked(accelerate, 'resume')).toContain('accelerate');
  });

  test('what it cannot be used for says why, with what it is', async () => {
    const config = {
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 4,
      target_modules: ['q_proj', 'v_proj', 'down_proj'],
      base_model_name_or_path: 'acme/x',
    };
    for (const [feature, reason] of [
      [{ use_dora: true }, 'DoRA'],
      [{ bias: 'all' }, 'trained biases'],
      [{ modules_to_save: ['lm_head'] }, 'fully trained modules'],
      [{ init_lora_weights: 'pissa' }, 'initialisation'],
      [{ r: 3 }, 'rank'],
    ] as const) {
      const files = await withFiles({ 'adapter_config.json': JSON.stringify({ ...config, ...feature }) });
      const entries = await Promise.all(
        files.names().map(async (path) => {
          const source = await files.open(path);
          const bytes = await source.read(0, source.size);
          return { path, size: source.size, chunks: () => [bytes] };
        }),
      );
      for (const input of [files, bytesSource('x.tar', await tarOfEntries(entries))]) {
        const look = await peek(input, tiny);
        expect(look).toMatchObject({ kind: 'adapter', about: { baseModel: 'acme/x', alpha: 4 } });
        expect(look.actions).toHaveLength(3);
        for (const action of look.actions) expect(action.blocked).toContain(reason);
        expect(look.error?.message).toContain(reason);
      }
    }
  });

  test('several adapters in one folder are named, and no model is seen in them', async () => {
    const one = await adapterFiles(testAdapter());
    const files = new Map(
      ['a', 'b'].flatMap((folder) =>
        Array.from(one, ([path, bytes]) => [`${folder}/${path}`, bytes] as const),
      ),
    );
    const look = await peek(memoryFileSet('two', files), tiny);
    expect(look.error?.message).toContain('2 adapters: a/adapter_config.json');
  });

  test('an adapter that fits a model of another name says so; all of it is plain data', async () => {
    const { config } = tiny;
    const { modules } = layoutAdapter(config, { ...testAdapter().settings, targetModules: ['q_proj'] });
    const paths = Object.fromEntries(modules.map(({ path, in: from, out }) => [path, [from, out] as const]));
    const adapter = testAdapter({}, paths);
    const look = await peek(memoryFileSet('other', await adapterFiles(adapter)), tiny);
    expect(look.about?.fits).toBe(true);
    expect(look.notes.join(' ')).toContain('trained on acme/tiny-llama');
    expect(blocked(look, 'warm-start')).toBe(null);
    expect(structuredClone(look)).toEqual(look);
    const other = await peek(await tarSource(full()), { ...tiny, hashes: { ...tiny.hashes } });
    expect(other.about?.fits).toBe(false);
  });

  test('a checkpoint of the loaded model with another tokenizer says so', async () => {
    const base = {
      id: tiny.id,
      revision: null,
      ...tiny.hashes,
      tokenizerSha256: '0'.repeat(64),
    };
    const look = await peek(await tarSource(testExport({ base })), tiny);
    expect(blocked(look, 'warm-start')).toContain('another tokenizer');
  });
});
