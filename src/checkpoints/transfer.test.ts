import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { readAdapter } from '../formats/archive-read.ts';
import { toTarGz } from '../formats/archive-write.ts';
import { bytesSource, type ByteSource } from '../formats/bytes.ts';
import { textEntry, type FileEntry } from '../formats/file-entry.ts';
import { fromStream } from '../formats/streams.ts';
import { tarOfEntries, testExport } from '../formats/testing-export.ts';
import { archiveEntries } from '../formats/archive-write.ts';
import { memoryFileSet } from '../formats/file-set.ts';
import { safetensorsEntry } from '../formats/safetensors-write.ts';
import { adapterFiles, testAdapter } from '../formats/testing-adapter.ts';
import { codeOf, collect } from '../formats/testing.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { exportArchive, exportEntries } from './export-checkpoint.ts';
import { importCheckpoint } from './import-checkpoint.ts';
import { temporaryStore } from './testing-run.ts';
import { saveInto, wholeCheckpoint } from './testing-stored.ts';

let store: CheckpointStore;
const removals: (() => Promise<void>)[] = [];
const freshStore = async (): Promise<CheckpointStore> => {
  const made = await temporaryStore();
  removals.push(made.remove);
  return made.store;
};
beforeEach(async () => {
  store = await freshStore();
});
afterAll(async () => {
  for (const remove of removals) await remove();
});

const archiveOf = async (entries: readonly FileEntry[], name = 'checkpoint.tar.gz'): Promise<ByteSource> =>
  bytesSource(name, await collect(fromStream(toTarGz(entries))));

async function exported(from: CheckpointStore, id: string, kind: 'full' | 'sampler' | 'hf-trainer' = 'full') {
  return exportEntries(await from.open(id), { kind });
}

describe('a full export', () => {
  test('is imported and exported again with the same bytes, in another store and another home', async () => {
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint({ note: 'mine', tags: ['a'] })]);
    const first = await tarOfEntries(await exported(store, saved?.id ?? ''));
    const elsewhere = await freshStore();
    const { checkpoint, alreadyThere, run } = await importCheckpoint(
      elsewhere,
      await archiveOf(await exported(store, saved?.id ?? '')),
    );
    expect(alreadyThere).toBe(false);
    expect(run.id).toBe(saved?.runId);
    expect(checkpoint).toMatchObject({ kind: 'full', trigger: 'import', origin: { id: saved?.id } });
    expect(await tarOfEntries(await exported(elsewhere, checkpoint.id))).toEqual(first);
  });

  test('that is there already is not stored twice, nor one that was imported before', async () => {
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint()]);
    const archive = await archiveOf(await exported(store, saved?.id ?? ''));
    const { totalBytes } = await store.sizes();
    expect(await importCheckpoint(store, archive)).toMatchObject({
      alreadyThere: true,
      checkpoint: { id: saved?.id },
    });
    const elsewhere = await freshStore();
    await importCheckpoint(elsewhere, archive);
    expect((await importCheckpoint(elsewhere, archive)).alreadyThere).toBe(true);
    expect((await elsewhere.list()).total).toBe(1);
    expect((await store.sizes()).totalBytes).toBe(totalBytes);
  });

  test('whose name other content has is refused, and added under another one', async () => {
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint()]);
    const archive = await archiveOf(await exported(store, saved?.id ?? ''));
    const elsewhere = await freshStore();
    await elsewhere.createRun({ name: 'pirates', id: saved?.runId ?? '' });
    const opened = await elsewhere.openRun(saved?.runId ?? '');
    if (opened.writable) await opened.save(await wholeCheckpoint({}, 1));
    if (opened.writable) await opened.release();
    expect(await codeOf(() => importCheckpoint(elsewhere, archive))).toBe('CHECKPOINT_EXISTS');
    const { checkpoint } = await importCheckpoint(elsewhere, archive, { name: 'other' });
    expect(checkpoint).toMatchObject({ name: 'other', runId: saved?.runId });
  });
});

describe('the other kinds', () => {
  test('a sampler holds the adapter, tokenizer and card, deterministic, and is read as an adapter', async () => {
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint()]);
    const entries = await exported(store, saved?.id ?? '', 'sampler');
    expect(entries.map(({ path }) => path)).toEqual([
      'checkpoint.json',
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'tokenizer.json',
    ]);
    const read = await readAdapter(await archiveOf(entries));
    expect(read.manifest).toMatchObject({ kind: 'sampler', id: saved?.id, step: 10 });
    const again = await exported(store, saved?.id ?? '', 'sampler');
    expect(await tarOfEntries(again)).toEqual(await tarOfEntries(entries));
    const half = await exportEntries(await store.open(saved?.id ?? ''), { kind: 'sampler', dtype: 'BF16' });
    const rounded = await readAdapter(await archiveOf(half));
    expect(rounded.dtypes).toEqual(['BF16']);
    expect(half.map(({ path }) => path)).toEqual(entries.map(({ path }) => path));
    expect(rounded.manifest).toMatchObject({ kind: 'sampler', id: saved?.id });
    for (const [i, { name, data }] of rounded.adapter.tensors.entries()) {
      const whole = read.adapter.tensors[i];
      expect(name).toBe(whole?.name);
      const bits = new Uint32Array(data.buffer);
      expect(bits.every((word) => (word & 0xffff) === 0)).toBe(true);
      for (const [k, value] of data.entries()) {
        const exact = whole?.data[k] ?? NaN;
        expect(Math.abs(value - exact)).toBeLessThanOrEqual(2 ** -8 * Math.abs(exact));
      }
    }
    // Half of half is half: what is in this dtype already goes out as it is.
    const elsewhere = await freshStore();
    const { checkpoint } = await importCheckpoint(elsewhere, await archiveOf(half));
    const stored = await elsewhere.open(checkpoint.id);
    const same = await exportEntries(stored, { kind: 'sampler', dtype: 'BF16' });
    expect(await tarOfEntries(same)).toEqual(await tarOfEntries(half));
  });

  test('a Trainer checkpoint lies in a folder, comes back with its state, and goes out the same', async () => {
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint()]);
    const entries = await exported(store, saved?.id ?? '', 'hf-trainer');
    expect(entries[0]?.path).toBe('checkpoint-10/checkpoint.json');
    expect(entries.map(({ path }) => path)).toEqual(
      expect.arrayContaining(
        ['optimizer.pt', 'scheduler.pt', 'trainer_state.json'].map((p) => `checkpoint-10/${p}`),
      ),
    );
    const elsewhere = await freshStore();
    const { checkpoint } = await importCheckpoint(elsewhere, await archiveOf(entries));
    expect(checkpoint).toMatchObject({ kind: 'hf-trainer', step: 10 });
    const back = await exported(elsewhere, checkpoint.id, 'hf-trainer');
    expect(await tarOfEntries(back)).toEqual(await tarOfEntries(entries));
  });

  test('an adapter alone has no Trainer checkpoint in it', async () => {
    const archive = await archiveOf(await archiveEntries(testExport()));
    const { checkpoint } = await importCheckpoint(store, archive);
    expect(await codeOf(() => exported(store, checkpoint.id, 'hf-trainer'))).toBe('STATE_INCOMPLETE');
  });
});

describe('another program’s adapter', () => {
  const plain = async (): Promise<FileEntry[]> =>
    (await archiveEntries(testExport())).filter(({ path }) => path !== 'checkpoint.json');

  test.each<[string, (path: string) => string]>([
    ['at the root', (path) => path],
    ['in a folder', (path) => `my-adapter/${path}`],
    [
      'in adapter/ and tokenizer/',
      (path) => (path.startsWith('tokenizer') ? `tokenizer/${path}` : `adapter/${path}`),
    ],
  ])('%s is added with the files that matter', async (_, place) => {
    const entries = [...(await plain()), textEntry('notes.xyz', 'mine')].map((entry) => ({
      path: place(entry.path),
      size: entry.size,
      chunks: () => entry.chunks(),
    }));
    const archive = bytesSource('my adapter.tar', await tarOfEntries(entries));
    const { checkpoint, notes } = await importCheckpoint(store, archive);
    expect(checkpoint).toMatchObject({ name: 'my-adapter', kind: 'sampler', about: null });
    expect(checkpoint.parts.map(({ path }) => path)).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'tokenizer.json',
    ]);
    expect(notes.join(' ')).toContain('notes.xyz');
    expect((await importCheckpoint(store, archive)).alreadyThere).toBe(true);
  });
});

describe('an adapter of another program on its way out', () => {
  const utf8 = (text: string) => new TextEncoder().encode(text);

  test('is the files that it came in, or in another dtype when asked', async () => {
    const files = await adapterFiles(testAdapter());
    const { checkpoint } = await importCheckpoint(store, memoryFileSet('mine', files));
    const stored = await store.open(checkpoint.id);
    for (const dtype of [undefined, 'F32' as const]) {
      const same = await exportEntries(stored, {
        kind: 'sampler',
        ...(dtype === undefined ? {} : { dtype }),
      });
      expect(same.map(({ path }) => path)).toEqual([...files.keys()]);
      for (const entry of same) expect(await collect(entry.chunks())).toEqual(files.get(entry.path));
    }
    const half = await exportEntries(stored, { kind: 'sampler', dtype: 'BF16' });
    expect((await readAdapter(await archiveOf(half))).dtypes).toEqual(['BF16']);
  });

  test('of MLX is written as PEFT has it, with the same numbers', async () => {
    const factor = (name: string, shape: number[], start: number) => ({
      name: `model.layers.0.self_attn.q_proj.${name}`,
      dtype: 'F32',
      shape,
      bytes: () => new Uint8Array(Float32Array.from({ length: 16 }, (_, i) => start + i).buffer),
    });
    const tensors = [factor('lora_a', [8, 2], 1), factor('lora_b', [2, 8], 100)];
    const config = { fine_tune_type: 'lora', model: 'm/x', num_layers: 1 };
    const parameters = { rank: 2, scale: 4, dropout: 0 };
    const files = new Map([
      ['adapter_config.json', utf8(JSON.stringify({ ...config, lora_parameters: parameters }))],
      ['adapters.safetensors', await collect(safetensorsEntry('adapters.safetensors', tensors).chunks())],
    ]);
    const { checkpoint } = await importCheckpoint(store, memoryFileSet('mlx', files));
    const entries = await exported(store, checkpoint.id, 'sampler');
    expect(entries.map(({ path }) => path)).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const [theirs, ours] = [
      await readAdapter(memoryFileSet('mlx', files)),
      await readAdapter(await archiveOf(entries)),
    ];
    expect(ours.adapter).toEqual(theirs.adapter);
    expect(ours.adapter.settings).toMatchObject({ rank: 2, alpha: 8 });
  });
});

describe('an archive on its way out', () => {
  test('tells how far it is, and ends when it is cancelled', async () => {
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint()]);
    const entries = await exported(store, saved?.id ?? '');
    const total = entries.reduce((sum, { size }) => sum + size, 0);
    const told: number[] = [];
    const onProgress = (done: number, of: number): void => {
      expect(of).toBe(total);
      told.push(done);
    };
    await collect(fromStream(exportArchive(entries, { onProgress })));
    expect(told.at(-1)).toBe(total);
    const stop = new AbortController();
    const ended = exportArchive(entries, { signal: stop.signal, onProgress: () => stop.abort() });
    expect(await codeOf(() => collect(fromStream(ended)))).toBe('CANCELLED');
  });

  test('reads the same from a file on disk as from memory', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lorikeet-transfer-'));
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint()]);
    const path = join(dir, 'x.tar.gz');
    await writeFile(path, await collect(fromStream(exportArchive(await exported(store, saved?.id ?? '')))));
    const bytes = Uint8Array.from(await readFile(path));
    expect((await readAdapter(bytesSource('x.tar.gz', bytes))).manifest?.id).toBe(saved?.id);
    await rm(dir, { recursive: true });
  });
});
