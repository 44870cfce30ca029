/**
 * Damage anywhere in any format that is read, as properties: the same content or a StudioError, and where no hash
 * protects a file at least nothing but a StudioError. Safetensors, tar, gzip and torch files alone are in their own tests.
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAdapter, readAdapterArchive, readAdapterFolder, type AdapterRead } from './archive-read.ts';
import { archiveEntries, toTarGz } from './archive-write.ts';
import { bytesSource } from './bytes.ts';
import { bytesEntry } from './file-entry.ts';
import { memoryFileSet, type FileSet } from './file-set.ts';
import { readHfTrainer } from './hf-trainer.ts';
import { MANIFEST_FILE, parseManifest } from './manifest.ts';
import { safetensorsEntry } from './safetensors-write.ts';
import { readTrainingState, stateEntries } from './state-files.ts';
import { fromStream, type Chunk } from './streams.ts';
import { adapterFiles, testAdapter } from './testing-adapter.ts';
import { damaged, fault, resultOf } from './testing-damage.ts';
import { tarOfEntries, testExport } from './testing-export.ts';
import { exported, filesOf } from './testing-hf.ts';
import { testState } from './testing-state.ts';
import { collect } from './testing.ts';

const adapter = testAdapter({}, { 'model.layers.0.mlp.down_proj': [3, 2] });
const utf8 = (text: string): Chunk => new TextEncoder().encode(text);
const entriesOf = () =>
  archiveEntries(testExport({ adapter, stateFiles: stateEntries(testState(adapter), adapter) }));
const keep = (path: string): boolean => path.includes('state/');
type Files = Map<string, Chunk>;

/** Everything that reading gives: adapter, manifest, state, and every byte of the files beside them. */
async function everything(read: AdapterRead) {
  const files: Record<string, string> = {};
  // checkpoint.json counts by what it says.
  for (const name of read.contents.names().filter((one) => one !== MANIFEST_FILE)) {
    const source = await read.contents.open(name);
    files[name] = Buffer.from(await source.read(0, source.size)).toString('latin1');
  }
  const { adapter: found, manifest, warnings, dtypes, fanInFanOut } = read;
  const state = await readTrainingState(read.contents, found, manifest);
  return { found, manifest, warnings, dtypes, fanInFanOut, state, files };
}
type Everything = Awaited<ReturnType<typeof everything>>;

/** Nothing but the same content or an error; says which errors there were. */
function sameOrCode(result: Everything | string, right: Everything): string {
  if (typeof result === 'string') return result;
  return isDeepStrictEqual(result, right) ? 'same' : 'another content';
}

const readTarBytes = async (bytes: Chunk) =>
  everything(await readAdapterArchive(bytesSource('a.tar', bytes), { keep }));

describe('a checkpoint of ours', () => {
  it('82: as .tar.gz or .tar is refused when it was cut off anywhere', async () => {
    const entries = await entriesOf();
    const packed = await collect(fromStream(toTarGz(entries)));
    const plain = await tarOfEntries(entries);
    for (const [bytes, expected] of [
      [packed, ['GZIP_INVALID']],
      // Below 512 bytes there is no magic that says it is a tar.
      [plain, ['GZIP_INVALID', 'TAR_INVALID']],
    ] as const) {
      const codes = new Set<string>();
      for (let length = 0; length < bytes.byteLength; length++) {
        const result = await resultOf(() => readTarBytes(bytes.slice(0, length)));
        codes.add(typeof result === 'string' ? result : `read at ${String(length)}`);
      }
      expect([...codes].sort()).toEqual(expected);
    }
  });

  it.each(['tar', 'tar.gz'])('as .%s has the same content after damage, or is refused', async (form) => {
    const entries = await entriesOf();
    const bytes = form === 'tar' ? await tarOfEntries(entries) : await collect(fromStream(toTarGz(entries)));
    const right = await readTarBytes(bytes);
    const outcomes = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fault, async (one) => {
        outcomes.add(sameOrCode(await resultOf(() => readTarBytes(damaged(bytes, one))), right));
        expect(outcomes).not.toContain('another content');
      }),
      { numRuns: 1500 },
    );
    // Bytes that say nothing, such as times and paddings, may change.
    expect(outcomes).toContain('same');
  });

  it('as a folder has the same content after damage to any file, or is refused', async () => {
    const files: Files = new Map();
    for (const entry of await entriesOf()) files.set(entry.path, await collect(entry.chunks()));
    const read = async (changed: Files) =>
      everything(await readAdapterFolder(memoryFileSet('folder', changed)));
    const right = await read(files);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...files.keys()), fault, async (path, one) => {
        const changed = new Map(files).set(path, damaged(files.get(path) ?? utf8(''), one));
        expect(sameOrCode(await resultOf(() => read(changed)), right)).not.toBe('another content');
      }),
      { numRuns: 1500 },
    );
  });

  it('has a manifest that says the same after damage, or is refused', async () => {
    const [manifest] = await entriesOf();
    const bytes = await collect(manifest?.chunks() ?? []);
    const read = (from: Chunk) => Promise.resolve(parseManifest(new TextDecoder().decode(from)));
    const right = await read(bytes);
    for (let length = 0; length < bytes.byteLength - 1; length++) {
      expect(await resultOf(async () => read(bytes.slice(0, length)))).toBe('ARCHIVE_INVALID');
    }
    await fc.assert(
      fc.asyncProperty(fault, async (one) => {
        const result = await resultOf(async () => read(damaged(bytes, one)));
        expect(['ARCHIVE_INVALID', 'FORMAT_NEWER', right]).toContainEqual(result);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('files without a hash', () => {
  /** Reads a set of files after damage to one of them; gives the codes that no reader of it should come to. */
  async function strange(
    files: Files,
    read: (files: FileSet) => Promise<object>,
    codes: RegExp,
  ): Promise<string[]> {
    const found = new Set<string>();
    const undamaged = await resultOf(() => read(memoryFileSet('x', files)));
    if (typeof undamaged === 'string') found.add(`undamaged: ${undamaged}`);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...files.keys()), fault, async (path, one) => {
        const changed = new Map(files).set(path, damaged(files.get(path) ?? utf8(''), one));
        const result = await resultOf(() => read(memoryFileSet('x', changed)));
        if (typeof result === 'string' && !codes.test(result)) found.add(result);
      }),
      { numRuns: 1500 },
    );
    return [...found];
  }

  it('a PEFT folder', async () => {
    const codes = /^(ADAPTER_INVALID|ADAPTER_UNSUPPORTED|SAFETENSORS_INVALID)$/;
    expect(await strange(await adapterFiles(adapter), readAdapter, codes)).toEqual([]);
  });

  it('a PEFT archive', async () => {
    const bytes = await tarOfEntries(
      Array.from(await adapterFiles(adapter), ([path, content]) => bytesEntry(path, content)),
    );
    const read = async (files: FileSet) => readAdapterArchive(await files.open('a.tar'));
    const codes = /^(TAR|GZIP|ADAPTER|SAFETENSORS|ARCHIVE)_(INVALID|UNSUPPORTED)$|^INPUT_TOO_LARGE$/;
    expect(await strange(new Map([['a.tar', bytes]]), read, codes)).toEqual([]);
  });

  it('an adapter of MLX', async () => {
    const tensors = adapter.tensors.map(({ name, shape, data }) => ({
      name: name.replace('lora_A.weight', 'lora_a').replace('lora_B.weight', 'lora_b'),
      dtype: 'F32',
      shape: shape.toReversed(),
      bytes: () => new Uint8Array(data.slice().buffer),
    }));
    const config = {
      fine_tune_type: 'lora',
      num_layers: 1,
      lora_parameters: { rank: 2, scale: 20, dropout: 0 },
    };
    const files: Files = new Map([
      ['adapter_config.json', utf8(JSON.stringify(config))],
      ['adapters.safetensors', await collect(safetensorsEntry('x', tensors).chunks())],
    ]);
    expect(await strange(files, readAdapter, /^(ADAPTER|SAFETENSORS)_(INVALID|UNSUPPORTED)$/)).toEqual([]);
  });

  it('the state of a Trainer', async () => {
    const files = await filesOf(exported({}, adapter));
    const read = (set: FileSet) => readHfTrainer(set, adapter);
    const codes = /^(STATE_(INVALID|INCOMPLETE|UNSUPPORTED)|TORCH_FILE_INVALID)$/;
    expect(await strange(files, read, codes)).toEqual([]);
    // trainer_state.json is text that nothing protects: cut off it is never read.
    const text = files.get('trainer_state.json') ?? utf8('');
    for (let length = 0; length < text.byteLength - 1; length++) {
      const cut = new Map(files).set('trainer_state.json', text.slice(0, length));
      expect(await resultOf(() => read(memoryFileSet('x', cut)))).toBe('STATE_INVALID');
    }
  });

  it('a training state of ours without its manifest', async () => {
    const files: Files = new Map();
    for (const entry of stateEntries(testState(adapter), adapter)) {
      files.set(entry.path, await collect(entry.chunks()));
    }
    const read = (set: FileSet) => readTrainingState(set, adapter, null);
    const codes = /^(STATE_(INVALID|INCOMPLETE)|SAFETENSORS_INVALID|FORMAT_NEWER)$/;
    expect(await strange(files, read, codes)).toEqual([]);
    for (const [path, bytes] of files) {
      // The last byte of a JSON text is the end of its line, which says nothing.
      for (let length = 0; length < bytes.byteLength - 1; length++) {
        const result = await resultOf(() =>
          read(memoryFileSet('x', new Map(files).set(path, bytes.slice(0, length)))),
        );
        expect(result, `${path} of ${String(length)} bytes`).toMatch(/^STATE_|^SAFETENSORS_INVALID$/);
      }
    }
  });
});
