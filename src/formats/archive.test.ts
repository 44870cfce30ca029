import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readAdapter, readAdapterArchive, readAdapterFolder } from './archive-read.ts';
import { archiveEntries, toTar, toTarGz } from './archive-write.ts';
import { bytesSource } from './bytes.ts';
import { textEntry, type FileEntry } from './file-entry.ts';
import { memoryFileSet } from './file-set.ts';
import { hfTrainerEntries, readHfTrainer } from './hf-trainer.ts';
import { MANIFEST_FILE, manifestText, parseManifest } from './manifest.ts';
import { sortedJson } from './peft-write.ts';
import { fromStream, type Chunk } from './streams.ts';
import { changedTar, tarOfEntries, testExport, testFullExport } from './testing-export.ts';
import { adapterFiles, llamaPaths, testAdapter } from './testing-adapter.ts';
import { exported } from './testing-hf.ts';
import { codeOf, collect } from './testing.ts';

const open = (bytes: Chunk) => bytesSource('a.tar.gz', bytes);
const asFolder = async (entries: readonly FileEntry[]) => {
  const files = new Map<string, Chunk>();
  for (const entry of entries) files.set(entry.path, await collect(entry.chunks()));
  return memoryFileSet('folder', files);
};
const moved = (entries: readonly FileEntry[], folder: string): FileEntry[] =>
  entries.map((entry) => ({
    path: `${folder}/${entry.path}`,
    size: entry.size,
    chunks: () => entry.chunks(),
  }));
const manifestOf = async (entries: readonly FileEntry[]) =>
  new TextDecoder().decode(await collect(entries[0]?.chunks() ?? []));

/** The manifest of an export with some fields changed and its hash made right again. */
async function forged(changes: Record<string, unknown>): Promise<Record<string, string>> {
  const manifest = parseManifest(await manifestOf(await archiveEntries(testExport())));
  return { [MANIFEST_FILE]: manifestText({ ...manifest, ...changes }) };
}

describe('archiveEntries', () => {
  it('puts the manifest first and the rest in the order of their bytes', async () => {
    const entries = await archiveEntries(testFullExport());
    expect(entries.map((entry) => entry.path)).toEqual([
      'checkpoint.json',
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'state/optimizer.safetensors',
      'state/trainer.json',
      'tokenizer.json',
    ]);
    for (const entry of entries) expect((await collect(entry.chunks())).byteLength).toBe(entry.size);
  });

  it('gives the same bytes for the same state', async () => {
    const once = await collect(fromStream(toTarGz(await archiveEntries(testFullExport()))));
    expect(await collect(fromStream(toTarGz(await archiveEntries(testFullExport()))))).toEqual(once);
  });

  it('keeps ids and times in the manifest alone', async () => {
    const one = await archiveEntries(testExport());
    const two = await archiveEntries(
      testExport({ run: { ...testExport().run, id: 'X', runId: 'Y', createdAt: '2030-01-01T00:00:00Z' } }),
    );
    expect(await tarOfEntries(one.slice(1))).toEqual(await tarOfEntries(two.slice(1)));
    expect(await manifestOf(one)).not.toBe(await manifestOf(two));
  });

  it('says sampler without state and full with it', async () => {
    const kind = async (what: ReturnType<typeof testExport>) =>
      parseManifest(await manifestOf(await archiveEntries(what))).kind;
    expect(await kind(testExport())).toBe('sampler');
    expect(await kind(testFullExport())).toBe('full');
  });

  it('puts the state of a Trainer beside the adapter, all in the folder that Trainer looks for', async () => {
    const adapter = testAdapter();
    const trainerFiles = hfTrainerEntries(exported({}, adapter));
    const entries = await archiveEntries(testExport({ adapter, trainerFiles }));
    expect(entries.map((entry) => entry.path)).toEqual([
      'checkpoint-10/checkpoint.json',
      'checkpoint-10/README.md',
      'checkpoint-10/adapter_config.json',
      'checkpoint-10/adapter_model.safetensors',
      'checkpoint-10/optimizer.pt',
      'checkpoint-10/scheduler.pt',
      'checkpoint-10/tokenizer.json',
      'checkpoint-10/trainer_state.json',
    ]);
    const keep = (path: string) => path === 'optimizer.pt' || /^(scheduler|trainer)/.test(path);
    for (const read of [
      await readAdapterArchive(open(await tarOfEntries(entries)), { keep }),
      await readAdapter(await asFolder(entries)),
    ]) {
      expect(read.manifest?.kind).toBe('hf-trainer');
      const state = await readHfTrainer(read.contents, read.adapter, { ordered: true });
      expect(state.moments).toEqual(exported().moments);
      expect(state.notes).toEqual([]);
    }
    const wrong = (changes: Parameters<typeof testExport>[0]) =>
      codeOf(() => archiveEntries(testExport(changes)));
    expect(await wrong({ trainerFiles: [textEntry('training_args.bin', 'x')] })).toBe('INTERNAL');
    expect(await wrong({ trainerFiles, stateFiles: [textEntry('state/a', 'x')] })).toBe('INTERNAL');
  });

  it('stores the order of the parameters, not that of the file', async () => {
    const what = testExport({ adapter: testAdapter({}, llamaPaths(11)) });
    const { paramOrder } = parseManifest(await manifestOf(await archiveEntries(what)));
    expect(paramOrder[0]).toBe('base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight');
    expect(paramOrder.at(-1)).toBe('base_model.model.model.layers.10.mlp.down_proj.lora_B.weight');
  });

  it('refuses state outside state/, and one path twice', async () => {
    const withState = (path: string) => archiveEntries(testExport({ stateFiles: [textEntry(path, 'x')] }));
    expect(await codeOf(() => withState('optimizer.pt'))).toBe('INTERNAL');
    const twice = [textEntry('state/a', '1'), textEntry('state/a', '2')];
    expect(await codeOf(() => archiveEntries(testExport({ stateFiles: twice })))).toBe('INTERNAL');
  });

  it('refuses metrics that JSON cannot hold', async () => {
    expect(await codeOf(() => archiveEntries(testExport({ metrics: { loss: NaN } })))).toBe(
      'ARCHIVE_INVALID',
    );
  });
});

describe('reading an export', () => {
  it('gives back the adapter from .tar, .tar.gz and folder, with one folder around it or without', async () => {
    const what = testFullExport();
    const entries = await archiveEntries(what);
    const inFolder = moved(entries, 'run-step-10');
    const reads = {
      tar: await readAdapter(open(await collect(fromStream(toTar(entries))))),
      'tar.gz': await readAdapter(open(await collect(fromStream(toTarGz(entries))))),
      folder: await readAdapter(await asFolder(entries)),
      'tar in a folder': await readAdapter(open(await tarOfEntries(inFolder))),
      'folder in a folder': await readAdapter(await asFolder(inFolder)),
    };
    for (const [name, read] of Object.entries(reads)) {
      expect(read.adapter, name).toEqual(what.adapter);
      expect(read.manifest?.step, name).toBe(10);
      expect(read.warnings, name).toEqual([]);
      expect(read.files.map((file) => file.path).sort(), name).toEqual(entries.map((e) => e.path).sort());
    }
    expect(reads.tar.container).toBe('tar');
    expect(reads['tar.gz'].container).toBe('tar.gz');
  });

  it('keeps the tokenizer, and the state when asked to', async () => {
    const bytes = await tarOfEntries(await archiveEntries(testFullExport()));
    const text = async (name: string, keep: boolean) => {
      const read = await readAdapterArchive(
        open(bytes),
        keep ? { keep: (path) => path.startsWith('state/') } : {},
      );
      if (!read.contents.names().includes(name)) return null;
      const source = await read.contents.open(name);
      return new TextDecoder().decode(await source.read(0, source.size));
    };
    expect(await text('tokenizer.json', false)).toBe('{"version":"1.0"}');
    expect(await text('state/trainer.json', false)).toBeNull();
    expect(await text('state/trainer.json', true)).toBe('{"step":10}');
  });

  it('exports what it imported byte for byte', async () => {
    const what = testExport({ dtype: 'BF16' });
    const bytes = await tarOfEntries(await archiveEntries(what));
    const read = await readAdapterArchive(open(bytes));
    expect(await tarOfEntries(await archiveEntries({ ...what, adapter: read.adapter }))).toEqual(bytes);
  });

  const bad: [string, Readonly<Record<string, string | null>>][] = [
    ['76 an extra file', { 'training_args.txt': 'x' }],
    ['76 a Mac folder', { '__MACOSX/README.md': 'x' }],
    ['76 a Mac file', { '._README.md': 'x' }],
    ['76 a hidden file', { '.DS_Store': 'x' }],
    ['77 a missing file', { 'README.md': null }],
    ['77 another size', { 'README.md': 'x' }],
    ['77 a manifest within', { 'sub/checkpoint.json': '{}' }],
    ['77 a manifest that is not JSON', { 'checkpoint.json': '{' }],
    ['77 a manifest that is empty', { 'checkpoint.json': '{}' }],
    ['78 an archive within', { 'more.tar.gz': 'x' }],
    ['78 a zip within', { 'more.zip': 'x' }],
  ];
  it.each(bad)('refuses %s', async (_, changes) => {
    const bytes = await changedTar(testExport(), changes);
    expect(await codeOf(() => readAdapterArchive(open(bytes)))).toBe('ARCHIVE_INVALID');
  });

  it('77: refuses another content of the same size', async () => {
    const bytes = await changedTar(testExport(), { 'tokenizer.json': '{"version":"2.0"}' });
    await expect(readAdapterArchive(open(bytes))).rejects.toThrow('tokenizer.json does not match its hash');
  });

  it('77: refuses a manifest that is not first, or lies too deep', async () => {
    const [manifest, ...rest] = await archiveEntries(testExport());
    const late = await tarOfEntries([...rest, ...(manifest === undefined ? [] : [manifest])]);
    await expect(readAdapterArchive(open(late))).rejects.toThrow('not the first file');
    const deep = await tarOfEntries(moved(await archiveEntries(testExport()), 'a/b'));
    await expect(readAdapterArchive(open(deep))).rejects.toThrow('too deep');
  });

  it('77: refuses a manifest whose fields were changed, even with its hash made right', async () => {
    const cases: Record<string, unknown>[] = [
      { lora: { ...parseManifest(await manifestOf(await archiveEntries(testExport()))).lora, alpha: 5 } },
      { paramOrder: ['x'] },
      { tensors: {} },
    ];
    for (const changes of cases) {
      const bytes = await changedTar(testExport(), await forged(changes));
      await expect(readAdapterArchive(open(bytes))).rejects.toThrow('describe different adapters');
    }
  });

  it('refuses the same in a folder', async () => {
    const entries = await archiveEntries(testExport());
    const extra = await asFolder([...entries, textEntry('more.txt', 'x')]);
    await expect(readAdapterFolder(extra)).rejects.toThrow('more.txt is not listed');
    const less = await asFolder(entries.filter((entry) => entry.path !== 'README.md'));
    await expect(readAdapterFolder(less)).rejects.toThrow('missing: README.md');
    const changed = await asFolder([...entries, textEntry('tokenizer.json', '{"version":"2.0"}')]);
    await expect(readAdapterFolder(changed)).rejects.toThrow('does not match its hash');
  });

  it('reads a plain PEFT archive and names the files it does not use', async () => {
    const files = await adapterFiles(testAdapter());
    const entries = [...files].map(([path, bytes]) => ({
      path,
      size: bytes.byteLength,
      chunks: () => [bytes],
    }));
    for (const name of ['events.log', 'optimizer.pt', 'checkpoint_complete']) {
      entries.push(textEntry(name, 'x') as (typeof entries)[number]);
    }
    for (const list of [entries, moved(entries, 'checkpoint-5')]) {
      const read = await readAdapterArchive(open(await tarOfEntries(list)));
      expect(read.manifest).toBeNull();
      expect(read.adapter).toEqual(testAdapter());
      expect(read.warnings).toEqual(['Files that are not used: events.log.']);
    }
    const twoLevels = await tarOfEntries(moved(entries, 'a/b'));
    expect(await codeOf(() => readAdapterArchive(open(twoLevels)))).toBe('ADAPTER_INVALID');
  });

  it('57: hands a README on as the text that it is', async () => {
    const evil = '<script>alert(1)</script>';
    const files = await adapterFiles(testAdapter());
    const plain = [...files].map(([path, bytes]) => ({
      path,
      size: bytes.byteLength,
      chunks: () => [bytes],
    }));
    const read = await readAdapterArchive(open(await tarOfEntries([...plain, textEntry('README.md', evil)])));
    const readme = await read.contents.open('README.md');
    expect(new TextDecoder().decode(await readme.read(0, readme.size))).toBe(evil);
    expect(read.adapter).toEqual(testAdapter());
  });

  it('refuses several adapters in one archive', async () => {
    const files = await adapterFiles(testAdapter());
    const entries = [...files].map(([path, bytes]) => ({
      path,
      size: bytes.byteLength,
      chunks: () => [bytes],
    }));
    const both = await tarOfEntries([...moved(entries, 'a'), ...moved(entries, 'b')]);
    await expect(readAdapterArchive(open(both))).rejects.toThrow('more than one adapter_model.safetensors');
  });

  it('75, 87: refuses large claims and bombs without taking memory for them', async () => {
    const zeros = {
      path: 'adapter_model.safetensors',
      size: 256 * 2 ** 20,
      *chunks() {
        for (let i = 0; i < 256; i++) yield new Uint8Array(2 ** 20);
      },
    };
    const bomb = new Uint8Array(gzipSync(await tarOfEntries([zeros])));
    // The first eight zero bytes already are no safetensors file.
    expect(await codeOf(() => readAdapterArchive(open(bomb)))).toBe('SAFETENSORS_INVALID');
    expect(await codeOf(() => readAdapterArchive(open(bomb), { maxBytes: 2 ** 20 }))).toBe('INPUT_TOO_LARGE');
    const text = { ...zeros, path: 'README.md' };
    const longText = new Uint8Array(gzipSync(await tarOfEntries([text])));
    expect(await codeOf(() => readAdapterArchive(open(longText)))).toBe('INPUT_TOO_LARGE');
  });

  it('88: refuses a gzip within a gzip', async () => {
    const inner = gzipSync(await tarOfEntries(await archiveEntries(testExport())));
    expect(await codeOf(() => readAdapterArchive(open(new Uint8Array(gzipSync(inner)))))).toBe('TAR_INVALID');
  });

  it('82: refuses truncated archives', async () => {
    const bytes = await collect(fromStream(toTarGz(await archiveEntries(testExport()))));
    for (let length = 1; length < bytes.byteLength; length += 97) {
      expect(await codeOf(() => readAdapterArchive(open(bytes.slice(0, length))))).toBe('GZIP_INVALID');
    }
  });

  it('89: reads an adapter of zeros', async () => {
    const adapter = testAdapter();
    for (const tensor of adapter.tensors) tensor.data.fill(0);
    const bytes = await collect(fromStream(toTarGz(await archiveEntries(testExport({ adapter })))));
    expect((await readAdapterArchive(open(bytes))).adapter).toEqual(adapter);
  });
});

describe('parseManifest', () => {
  it('refuses a newer version by its number', async () => {
    const manifest = parseManifest(await manifestOf(await archiveEntries(testExport())));
    expect(() => parseManifest(sortedJson({ ...manifest, formatVersion: 2 }))).toThrow('format version 2');
  });

  it('refuses any change', async () => {
    const text = await manifestOf(await archiveEntries(testExport()));
    expect(() => parseManifest(text.replace('"step": 10', '"step": 11'))).toThrow(
      'does not match its own hash',
    );
    expect(() => parseManifest(text.replace('"step": 10', '"step": 10,"x":1'))).toThrow('own hash');
  });

  it('names the field that is wrong', async () => {
    const manifest = parseManifest(await manifestOf(await archiveEntries(testExport())));
    expect(() => manifestText({ ...manifest, name: 'a/b' })).toThrow('checkpoint.json: name:');
  });
});
