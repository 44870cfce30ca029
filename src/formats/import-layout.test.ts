import { describe, expect, it } from 'vitest';
import type { Adapter } from './adapter.ts';
import { readAdapter, readAdapterArchive } from './archive-read.ts';
import { bytesSource } from './bytes.ts';
import { memoryFileSet } from './file-set.ts';
import { hfTrainerEntries, readHfTrainer } from './hf-trainer.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import { peftConfigText } from './peft-write.ts';
import { safetensorsEntry, type TensorToWrite } from './safetensors-write.ts';
import type { Chunk } from './streams.ts';
import { adapterFiles, llamaPaths, testAdapter } from './testing-adapter.ts';
import { exported } from './testing-hf.ts';
import { join, paxRecord, rawEntry, tarOf, type RawEntry, END } from './testing-tar.ts';
import { pickleOf, torchBytes } from './testing-torch.ts';
import { codeOf, collect } from './testing.ts';
import { torchFileEntry } from './torch-file.ts';
import { dict, floatTensor } from './torch-values.ts';

const adapter = testAdapter({}, llamaPaths(2));
const utf8 = (text: string): Chunk => new TextEncoder().encode(text);
const config = (of: Adapter = adapter, changes: object = {}): string =>
  JSON.stringify({
    ...(JSON.parse(peftConfigText(of, { fanInFanOut: false, revision: null })) as object),
    ...changes,
  });
type Files = Record<string, Chunk | string>;

const asFolder = (files: Files) =>
  memoryFileSet(
    'folder',
    new Map(
      Object.entries(files).map(([name, content]) => [
        name,
        typeof content === 'string' ? utf8(content) : content,
      ]),
    ),
  );
const asTar = (files: Files) =>
  bytesSource('a.tar', tarOf(...Object.entries(files).map(([name, body]): RawEntry => ({ name, body }))));

/** Reads the files as a folder, as a tar, and as both with one folder around everything. */
async function readEachWay(files: Files) {
  const inside = Object.fromEntries(
    Object.entries(files).map(([name, content]) => [`model/${name}`, content]),
  );
  return Promise.all([
    readAdapter(asFolder(files)),
    readAdapter(asTar(files)),
    readAdapter(asFolder(inside)),
    readAdapter(asTar(inside)),
  ]);
}
const codesEachWay = async (files: Files) => [
  await codeOf(() => readAdapter(asFolder(files))),
  await codeOf(() => readAdapter(asTar(files))),
];

/** adapter_model.bin as `torch.save` writes the tensors of PEFT. */
async function binOf(of: Adapter): Promise<Chunk> {
  const tensors = of.tensors.map(
    ({ name, shape, data }) => [KEY_PREFIX + name, floatTensor(shape, data)] as const,
  );
  return collect(torchFileEntry('adapter_model.bin', dict(tensors)).chunks());
}

const weightsOf = async (of: Adapter): Promise<Chunk> =>
  (await adapterFiles(of)).get('adapter_model.safetensors') ?? utf8('');

describe('56: adapter_model.bin', () => {
  it('is read by the safe reader, as the adapter that safetensors would give', async () => {
    for (const read of await readEachWay({
      'adapter_config.json': config(),
      'adapter_model.bin': await binOf(adapter),
    })) {
      expect(read.adapter).toEqual(adapter);
      expect(read.weights).toBe('adapter_model.bin');
      expect(read.warnings).toEqual([]);
    }
  });

  it('is left alone where there are safetensors, whatever is in it', async () => {
    const files = {
      'adapter_config.json': config(),
      'adapter_model.safetensors': await weightsOf(adapter),
      'adapter_model.bin': 'x',
    };
    for (const read of await readEachWay(files)) {
      expect(read.adapter).toEqual(adapter);
      expect(read.warnings).toEqual(['Files that are not used: adapter_model.bin.']);
    }
  });

  it('is refused for code, for what is no tensor, and for damage', async () => {
    const code = await torchBytes(pickleOf('cos\nsystem\n(X\x02\0\0\0idtR'));
    const list = await torchBytes(pickleOf(']'));
    for (const bytes of [code, list, utf8('x'), (await binOf(adapter)).slice(0, -30)]) {
      const files = { 'adapter_config.json': config(), 'adapter_model.bin': bytes };
      expect(await codesEachWay(files)).toEqual(['TORCH_FILE_INVALID', 'TORCH_FILE_INVALID']);
    }
    const wrong = await binOf(testAdapter({}, llamaPaths(1)));
    const gap = { 'adapter_config.json': config(adapter, { r: 3 }), 'adapter_model.bin': wrong };
    expect(await codesEachWay(gap)).toEqual(['ADAPTER_INVALID', 'ADAPTER_INVALID']);
  });
});

describe('archives of services', () => {
  it('with adapter/ and tokenizer/ in folders of their own', async () => {
    const files = {
      'adapter/adapter_config.json': config(),
      'adapter/adapter_model.safetensors': await weightsOf(adapter),
      'tokenizer/tokenizer.json': '{}',
      'tokenizer/tokenizer_config.json': '{"a":1}',
      'metadata.json': '{"base_model":"acme/tiny-llama"}',
    };
    for (const read of await readEachWay(files)) {
      expect(read.adapter).toEqual(adapter);
      expect(read.warnings).toEqual([]);
      expect(read.files.map(({ path }) => path).sort()).toEqual([
        'adapter_config.json',
        'adapter_model.safetensors',
        'metadata.json',
        'tokenizer.json',
        'tokenizer_config.json',
      ]);
      const source = await read.contents.open('tokenizer_config.json');
      expect(new TextDecoder().decode(await source.read(0, source.size))).toBe('{"a":1}');
    }
    const bin = {
      'adapter/adapter_config.json': config(),
      'adapter/adapter_model.bin': await binOf(adapter),
    };
    for (const read of await readEachWay(bin)) expect(read.adapter).toEqual(adapter);
    const twice = { ...files, 'adapter/tokenizer.json': '{}' };
    expect(await codesEachWay(twice)).toEqual(['ADAPTER_INVALID', 'ADAPTER_INVALID']);
  });

  it('as a plain tar with a mark that it is complete, and the root folder as Python names it', async () => {
    const times = { type: 'x', body: paxRecord('mtime', '1795312740.25') };
    const files: RawEntry[] = [
      times,
      { name: '/', type: '5' },
      times,
      {
        name: 'adapter_config.json',
        body: config(adapter, {
          lora_alpha: 4.0,
          task_type: null,
          target_modules: null,
          inference_mode: false,
        }),
      },
      times,
      { name: 'adapter_model.safetensors', body: await weightsOf(adapter), mode: '0000600\0' },
      { name: 'checkpoint_complete' },
    ];
    const read = await readAdapter(bytesSource('a.tar', tarOf(...files)));
    expect(read.adapter).toEqual(adapter);
    expect(read).toMatchObject({ container: 'tar', warnings: [], manifest: null });
    const outside = bytesSource('a.tar', join(rawEntry({ name: '/', body: 'x' }), END));
    expect(await codeOf(() => readAdapter(outside))).toBe('TAR_INVALID');
  });

  it('with the output head under its name at Tinker', async () => {
    const head = testAdapter({}, { ...llamaPaths(1), lm_head: [8, 16] });
    const rename = (name: string) => KEY_PREFIX + name.replace(/^lm_head\./, 'model.unembed_tokens.');
    const tensors = head.tensors.map(({ name, shape, data }): TensorToWrite => ({
      name: rename(name),
      dtype: 'F32',
      shape,
      bytes: () => new Uint8Array(data.buffer),
    }));
    const weights = (list: readonly TensorToWrite[]) => collect(safetensorsEntry('x', list).chunks());
    for (const targets of [null, ['down_proj', 'q_proj', 'unembed_tokens', 'v_proj']]) {
      const files = {
        'adapter_config.json': config(head, { target_modules: targets }),
        'adapter_model.safetensors': await weights(tensors),
      };
      for (const read of await readEachWay(files)) {
        expect(read.adapter).toEqual(head);
        expect(read.warnings.join()).toContain('unembed_tokens');
      }
    }
    const both = [
      ...tensors,
      ...tensors
        .slice(-2)
        .map((tensor) => ({ ...tensor, name: tensor.name.replace('model.unembed_tokens', 'lm_head') })),
    ];
    const files = { 'adapter_config.json': config(head), 'adapter_model.safetensors': await weights(both) };
    expect(await codesEachWay(files)).toEqual(['ADAPTER_INVALID', 'ADAPTER_INVALID']);
  });

  it('of a Trainer, whose state can be kept for later', async () => {
    const files = await adapterFiles(adapter);
    for (const entry of hfTrainerEntries(exported())) files.set(entry.path, await collect(entry.chunks()));
    files.set('training_args.bin', utf8('never read'));
    const inFolder = Object.fromEntries(
      Array.from(files, ([name, bytes]) => [`checkpoint-10/${name}`, bytes]),
    );
    const read = await readAdapterArchive(asTar(inFolder), {
      keep: (path) => /(\.pt|trainer_state\.json|\.bin)$/.test(path),
    });
    expect(read.warnings).toEqual([]);
    const state = await readHfTrainer(read.contents, read.adapter);
    expect(state.moments).toEqual(exported().moments);
    expect(state.notes.join()).toContain('training_args.bin is ignored');
  });

  it('with no weights at all, or two adapters, are refused by what they hold', async () => {
    expect(await codesEachWay({ 'adapter_config.json': config() })).toEqual([
      'ADAPTER_INVALID',
      'ADAPTER_INVALID',
    ]);
    expect(await codesEachWay({ 'adapter/adapter_config.json': config(), 'tokenizer/x': '' })).toEqual([
      'ADAPTER_INVALID',
      'ADAPTER_INVALID',
    ]);
    const bin = await binOf(adapter);
    const two = {
      'a/adapter_config.json': config(),
      'a/adapter_model.bin': bin,
      'b/adapter_config.json': config(),
      'b/adapter_model.bin': bin,
    };
    expect(await codesEachWay(two)).toEqual(['ADAPTER_INVALID', 'ADAPTER_INVALID']);
  });
});
