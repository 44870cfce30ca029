/** Archives that are odd as a whole, numbered as in the list of hostile inputs of the format page (sections C and D). */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { StudioError } from '../errors.ts';
import { openFolderBackend } from '../storage/folder-backend.ts';
import { looseChunks, openRun, testCheckpoint } from '../storage/testing-store.ts';
import { readAdapterArchive, readAdapterFolder, type AdapterRead } from './archive-read.ts';
import { archiveEntries, toTarGz } from './archive-write.ts';
import { bytesSource, type ByteSource } from './bytes.ts';
import { bytesEntry, textEntry, type FileEntry } from './file-entry.ts';
import { memoryFileSet } from './file-set.ts';
import { readTrainingState, stateEntries } from './state-files.ts';
import { fromStream, type Chunk } from './streams.ts';
import { adapterFiles, testAdapter } from './testing-adapter.ts';
import { tarOfEntries, testExport, testFullExport } from './testing-export.ts';
import { packed } from './testing-gzip-corpus.ts';
import { safetensorsFile } from './testing-safetensors-corpus.ts';
import { testState } from './testing-state.ts';
import { END, join, rawEntry } from './testing-tar.ts';
import { codeOf, collect } from './testing.ts';

const open = (bytes: Chunk) => bytesSource('a.tar.gz', bytes);
const readTarOf = async (entries: readonly FileEntry[]): Promise<AdapterRead> =>
  readAdapterArchive(open(await tarOfEntries(entries)));
const codeFor = (entries: readonly FileEntry[]) => codeOf(() => readTarOf(entries));
const moved = (entries: readonly FileEntry[], folder: string): FileEntry[] =>
  entries.map((entry) => ({ ...entry, path: `${folder}/${entry.path}`, chunks: () => entry.chunks() }));
const plainEntries = async (): Promise<FileEntry[]> =>
  Array.from(await adapterFiles(testAdapter()), ([path, bytes]) => bytesEntry(path, bytes));

describe('75: what a file claims to hold', () => {
  const gib = 2 ** 30;
  const bin = rawEntry({ name: 'adapter_model.bin', size: 3.5 * gib });
  const head = safetensorsFile({ a: { dtype: 'F32', shape: [0.75 * gib], data_offsets: [0, 3 * gib] } });
  const weights = rawEntry({ name: 'adapter_model.safetensors', size: head.byteLength + 3 * gib });
  it.each([
    ['75 a pickle', bin],
    ['75 weights', join(weights, head)],
  ])('%s of gigabytes in a small file takes no memory before its bytes are there', async (_, start) => {
    const bytes = join(start, new Uint8Array(3 * 2 ** 20));
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const inner = open(bytes);
    const source: ByteSource = {
      ...inner,
      read: (from, to) => {
        most = Math.max(most, process.memoryUsage().arrayBuffers);
        return inner.read(from, to);
      },
    };
    expect(await codeOf(() => readAdapterArchive(source))).toBe('TAR_INVALID');
    expect(most - before).toBeLessThan(64 * 2 ** 20);
  });
});

describe('files that are too many, missing or elsewhere', () => {
  it('76: hidden files and those of file managers are refused without a manifest as well', async () => {
    for (const path of ['._adapter_config.json', '__MACOSX/x', '.DS_Store', '.git/config', 'a/.hidden']) {
      expect(await codeFor([...(await plainEntries()), textEntry(path, 'x')]), path).toBe('ARCHIVE_INVALID');
    }
    const named = await readTarOf([...(await plainEntries()), textEntry('evil.sh', 'rm -rf /')]);
    expect(named.warnings).toEqual(['Files that are not used: evil.sh.']);
  });

  it('77: a manifest that is missing beside a training state is missed, in archive and folder', async () => {
    const entries = (await archiveEntries(testFullExport())).slice(1);
    expect(await codeFor(entries)).toBe('ARCHIVE_INVALID');
    expect(await codeFor(moved(entries, 'run'))).toBe('ARCHIVE_INVALID');
    const files = new Map<string, Chunk>();
    for (const entry of entries) files.set(entry.path, await collect(entry.chunks()));
    await expect(readAdapterFolder(memoryFileSet('folder', files))).rejects.toThrow('but no checkpoint.json');
  });

  it('77: without state and manifest it is a plain adapter, and says so', async () => {
    const read = await readTarOf((await archiveEntries(testExport())).slice(1));
    expect(read.manifest).toBeNull();
    expect(read.adapter).toEqual(testAdapter());
  });

  it('77: a manifest that comes twice', async () => {
    const entries = await archiveEntries(testExport());
    expect(await codeFor([...entries.slice(0, 1), ...entries])).toBe('TAR_INVALID');
    expect(await codeFor([...entries, ...moved(entries.slice(0, 1), 'b')])).toBe('ARCHIVE_INVALID');
  });

  it('78: an archive within, with and without a manifest', async () => {
    for (const path of [
      'a.tar',
      'b.tgz',
      'c.gz',
      'd.zip',
      'e.7z',
      'f.xz',
      'g.bz2',
      'h.zst',
      'sub/I.TAR.GZ',
    ]) {
      expect(await codeFor([...(await plainEntries()), textEntry(path, 'x')]), path).toBe('ARCHIVE_INVALID');
    }
  });

  it('79: one folder around everything is accepted, two are not', async () => {
    const full = await archiveEntries(testFullExport());
    const plain = await plainEntries();
    expect((await readTarOf(moved(full, 'run'))).manifest?.step).toBe(10);
    expect((await readTarOf(moved(plain, 'run'))).adapter).toEqual(testAdapter());
    expect(await codeFor(moved(full, 'a/b'))).toBe('ARCHIVE_INVALID');
    expect(await codeFor(moved(plain, 'a/b'))).toBe('ADAPTER_INVALID');
    const [manifest, ...rest] = full;
    expect(await codeFor([...moved(manifest === undefined ? [] : [manifest], 'a'), ...rest])).toBe(
      'ARCHIVE_INVALID',
    );
  });
});

describe('gzip around an archive', () => {
  it('86: an archive in two members is refused, not read up to the first', async () => {
    const tar = await tarOfEntries(await archiveEntries(testExport()));
    const second = tar.slice(tar.byteLength - 2048);
    for (const at of [512, 1024, 5000, tar.byteLength - 1024, tar.byteLength]) {
      const bytes = join(packed(tar.subarray(0, at)), packed(tar.subarray(at)));
      expect(await codeOf(() => readAdapterArchive(open(bytes))), String(at)).toBe('GZIP_INVALID');
    }
    // The first member is a whole archive; what a zero byte hides behind it must not go unseen.
    const hidden = join(packed(tar), new Uint8Array(1), packed(second));
    expect(await codeOf(() => readAdapterArchive(open(hidden)))).toBe('GZIP_INVALID');
    expect(await codeOf(() => readAdapterArchive(open(packed(tar))))).toBe('no error');
  });

  it('90: an empty member is no archive', async () => {
    expect(await codeOf(() => readAdapterArchive(open(packed(''))))).toBe('TAR_INVALID');
    expect(await codeOf(() => readAdapterArchive(open(packed(END))))).toBe('ADAPTER_INVALID');
  });

  it('89: a full checkpoint of step 0 is all zeros, shrinks a thousandfold and is read', async () => {
    const paths = Object.fromEntries(
      ['q', 'k', 'v', 'o'].map((name) => [`model.layers.0.self_attn.${name}_proj`, [2048, 2048]] as const),
    );
    const adapter = testAdapter({ rank: 128 }, paths);
    const zero = () =>
      adapter.tensors.map((tensor) => ({ ...tensor, data: new Float32Array(tensor.data.length) }));
    const zeros = { ...adapter, tensors: zero() };
    const usual = testState(zeros);
    const state = testState(zeros, {
      step: 0,
      epoch: 0,
      optimizer: { ...usual.optimizer, step: 0 },
      moments: { expAvg: zero(), expAvgSq: zero() },
      scheduler: usual.scheduler && { ...usual.scheduler, position: 0 },
      rng: { ...usual.rng, counters: { step: 0, micro: 0 } },
      data: usual.data && { ...usual.data, epoch: 0, offset: 0 },
      best: null,
      lossTail: [],
      metrics: [],
    });
    const what = testExport({ adapter: zeros, stateFiles: stateEntries(state, zeros) });
    const entries = await archiveEntries({ ...what, run: { ...what.run, step: 0 } });
    const bytes = await collect(fromStream(toTarGz(entries)));
    expect(entries.reduce((sum, entry) => sum + entry.size, 0) / bytes.byteLength).toBeGreaterThan(800);
    const read = await readAdapterArchive(open(bytes), { keep: (path) => path.startsWith('state/') });
    const back = await readTrainingState(read.contents, read.adapter, read.manifest);
    const { moments, ...rest } = back;
    const { moments: _, ...expected } = state;
    expect(rest).toEqual(expected);
    for (const tensors of [read.adapter.tensors, moments.expAvg, moments.expAvgSq]) {
      expect(tensors.map(({ name, shape }) => ({ name, shape }))).toEqual(
        zeros.tensors.map(({ name, shape }) => ({ name, shape })),
      );
      // Not toEqual, which takes a second for a million numbers.
      for (const { data } of tensors) expect(data.every((value) => Object.is(value, 0))).toBe(true);
    }
  });
});

describe('reading that does not come to its end', () => {
  const stopped = new StudioError({ code: 'CANCELLED', message: 'Stopped.', fix: 'Start again.' });
  /** A file whose reading fails once this many bytes were asked for. */
  const failingAfter = (bytes: Chunk, limit: number): ByteSource => ({
    name: 'a.tar.gz',
    size: bytes.byteLength,
    read: (from, to) => (to > limit ? Promise.reject(stopped) : Promise.resolve(bytes.subarray(from, to))),
  });

  it('91, 92: an import that is stopped or fails mid-way leaves no chunk in the store', async () => {
    const dir = await mkdtemp(joinPath(tmpdir(), 'lorikeet-stopped-'));
    try {
      const backend = await openFolderBackend(dir);
      const { writer, store } = await openRun({ backend: () => Promise.resolve(backend) });
      const noise = testAdapter({ rank: 64 }, { 'model.layers.0.mlp.down_proj': [8192, 8192] });
      const bytes = await tarOfEntries(await archiveEntries(testExport({ adapter: noise })));
      const save = async (source: ByteSource, signal = new AbortController(), phase = '') => {
        const { contents } = await readAdapterArchive(source, { keep: () => true });
        const parts: FileEntry[] = [];
        for (const name of contents.names()) {
          const part = await contents.open(name);
          parts.push(bytesEntry(name, await part.read(0, part.size)));
        }
        await writer.save(testCheckpoint(10, { parts }), {
          signal: signal.signal,
          onPhase: (reached) => {
            if (reached === phase) signal.abort();
          },
        });
      };
      for (let limit = 0; limit < bytes.byteLength; limit += 2 ** 20) {
        expect(await codeOf(() => save(failingAfter(bytes, limit)))).toBe('CANCELLED');
      }
      for (const phase of ['copied', 'staged', 'stored']) {
        expect(await codeOf(() => save(open(bytes), new AbortController(), phase))).toBe('CANCELLED');
      }
      expect((await backend.listChunks()).size).toBe(0);
      expect(await looseChunks(backend)).toEqual({ orphans: 0, missing: 0 });
      expect((await store.list()).total).toBe(0);
      expect(await codeOf(() => save(open(bytes)))).toBe('no error');
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('92: a file that cannot be read on is named, from the first byte to the last', async () => {
    const bytes = new Uint8Array(gzipSync(await tarOfEntries(await archiveEntries(testExport()))));
    for (const limit of [0, 600, bytes.byteLength - 1]) {
      expect(await codeOf(() => readAdapterArchive(failingAfter(bytes, limit)))).toBe('CANCELLED');
    }
  });
});
