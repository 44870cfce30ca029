/** What checkpoints that are stored as differences must do in either home of the store; runs in Node and in a browser. */
import { tarOfEntries } from '../formats/testing-export.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { codeOf } from '../formats/testing.ts';
import type { StoreBackend } from '../storage/backend.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { openCheckpointStore } from '../storage/open-store.ts';
import type { CheckpointRecord, PartRecord } from '../storage/records.ts';
import { chunkOfPart, isTrue, looseChunks, refuses, same, type StoreCase } from '../storage/testing-store.ts';
import { compareCheckpoints } from './compare.ts';
import { encodeParts, storeDecoders } from './encodings.ts';
import { exportEntries } from './export-checkpoint.ts';
import { wholeCheckpoint } from './testing-stored.ts';
import { beginRun, type OpenedRun } from './training-run.ts';

const WEIGHTS = 'adapter_model.safetensors';
const MOMENTS = 'state/optimizer.safetensors';

interface Opened extends OpenedRun {
  backend: StoreBackend;
  store: CheckpointStore;
  /** A whole checkpoint, and one that is stored as its difference to it. */
  base: CheckpointRecord;
  delta: CheckpointRecord;
}

async function openStore(backend: StoreBackend): Promise<CheckpointStore> {
  const decoders = storeDecoders((id) => store.open(id));
  const store: CheckpointStore = await openCheckpointStore(backend, { decoders });
  return store;
}

async function saveDelta(
  { store, writer }: Pick<Opened, 'store' | 'writer'>,
  base: CheckpointRecord,
  name: string,
  shift: number,
): Promise<CheckpointRecord> {
  const input = await wholeCheckpoint({ name, parentId: base.id }, shift);
  const stored = await encodeParts(input.parts, await store.open(base.id));
  return (await writer.save({ ...input, ...stored })).checkpoint;
}

async function begin(home: { backend(): Promise<StoreBackend> }): Promise<Opened> {
  const backend = await home.backend();
  const store = await openStore(backend);
  const opened = await beginRun(store, { name: 'pirates' });
  const base = (await opened.writer.save(await wholeCheckpoint({ name: 'base' }))).checkpoint;
  const delta = await saveDelta({ store, ...opened }, base, 'near', 1e-7);
  return { ...opened, backend, store, base, delta };
}

function partOf({ parts }: CheckpointRecord, path: string): PartRecord {
  const part = parts.find((other) => other.path === path);
  if (part === undefined) throw new Error(`no ${path}`);
  return part;
}

const storedBytes = ({ chunks }: PartRecord): number => chunks.reduce((sum, { size }) => sum + size, 0);

async function exportHash(store: CheckpointStore, id: string): Promise<string> {
  const entries = await exportEntries(await store.open(id), { kind: 'full' });
  return sha256Hex(await tarOfEntries(entries.filter(({ path }) => path !== 'checkpoint.json')));
}

/** Changes a stored chunk behind the store's back; gives what puts it right again. */
async function spoil(backend: StoreBackend, checkpoint: CheckpointRecord): Promise<() => Promise<void>> {
  const sha256 = chunkOfPart(checkpoint, WEIGHTS);
  const right = (await backend.readChunk(sha256))?.slice() ?? new Uint8Array(0);
  const wrong = right.slice();
  wrong[40] = (wrong[40] ?? 0) ^ 1;
  await backend.putChunks([{ sha256, bytes: wrong }]);
  return () => backend.putChunks([{ sha256, bytes: right }]);
}

export const encodingCases: StoreCase[] = [
  {
    name: 'says what it rests on and the ratio that was reached, and takes less room',
    run: async (home) => {
      const { base, delta, store } = await begin(home);
      const weights = partOf(delta, WEIGHTS);
      const measuredRatio = weights.size / storedBytes(weights);
      isTrue(measuredRatio > 1, 'smaller');
      same(delta.delta, {
        baseId: base.id,
        baseSha256: partOf(base, WEIGHTS).sha256,
        resultSha256: weights.sha256,
        measuredRatio,
      });
      same([weights.encoding, partOf(delta, MOMENTS).encoding], ['xor+byteplane+gzip', 'byteplane+gzip']);
      isTrue(storedBytes(partOf(delta, MOMENTS)) < partOf(delta, MOMENTS).size, 'planes are smaller');
      same([delta.kind, partOf(delta, 'adapter_config.json').encoding], ['full', 'raw']);
      same((await store.get(delta.id)).delta, delta.delta);
    },
  },
  {
    name: 'is exported whole: the same bytes as if it had been stored whole, also from another connection',
    run: async (home) => {
      const { delta, store, writer } = await begin(home);
      const whole = (await writer.save(await wholeCheckpoint({ name: 'whole' }, 1e-7))).checkpoint;
      const wanted = await exportHash(store, whole.id);
      same(await exportHash(store, delta.id), wanted);
      same(await exportHash(await openStore(await home.backend()), delta.id), wanted);
    },
  },
  {
    name: 'is compared by what it holds',
    run: async (home) => {
      const { base, delta, store } = await begin(home);
      const [a, b] = [await store.open(base.id), await store.open(delta.id)];
      const { total, onlyA, onlyB, settings } = await compareCheckpoints(a.files(), b.files());
      same([onlyA, onlyB, settings], [[], [], []]);
      isTrue(Math.abs((total.cosine ?? 0) - 1) < 1e-6 && total.difference > 0, 'near and not the same');
      same((await compareCheckpoints(a.files(), a.files())).total.difference, 0);
    },
  },
  {
    name: '128: keeps its base from being deleted, overwritten and pruned, also by force',
    run: async (home) => {
      const { base, delta, backend, run, store, writer } = await begin(home);
      await saveDelta({ store, writer }, base, 'second', 2e-7);
      await refuses('CHECKPOINT_PROTECTED', () => store.remove([base.id], { force: true }));
      await refuses('CHECKPOINT_PROTECTED', () => store.remove([base.id], { force: true, forGood: true }));
      await refuses('CHECKPOINT_PROTECTED', async () =>
        writer.save(await wholeCheckpoint({ name: 'base', overwrite: true })),
      );
      const plan = await store.prune(run.id, { keepLatest: 1 });
      same(
        plan.remove.map(({ checkpoint }) => checkpoint.id),
        [delta.id],
      );
      await store.emptyBin('all');
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
      const { checkpoint } = await store.latest(run.id);
      same(checkpoint?.name, 'second');
      const expected = (await writer.save(await wholeCheckpoint({ name: 'whole' }, 2e-7))).checkpoint;
      same(await exportHash(store, checkpoint?.id ?? ''), await exportHash(store, expected.id));
    },
  },
  {
    name: 'is never the base of another',
    run: async (home) => {
      const { base, delta, store, writer } = await begin(home);
      const input = await wholeCheckpoint({ name: 'deeper' }, 2e-7);
      await refuses('DELTA_INVALID', async () => encodeParts(input.parts, await store.open(delta.id)));
      const stored = await encodeParts(input.parts, await store.open(base.id));
      const info = stored.delta === null ? null : { ...stored.delta, baseId: delta.id };
      await refuses('CHECKPOINT_NOT_FOUND', () => writer.save({ ...input, ...stored, delta: info }));
      same((await store.list()).total, 2);
    },
  },
  {
    name: '124: is found damaged by name when its own bytes or those of its base changed, and is whole again with them',
    run: async (home) => {
      const { backend, base, delta, run, store, writer } = await begin(home);
      const older = (await writer.save(await wholeCheckpoint({ name: 'older' }, 1e-3))).checkpoint;
      const newest = await saveDelta({ store, writer }, base, 'newest', 3e-7);
      const reading = (): Promise<string> => codeOf(() => exportHash(store, newest.id));
      for (const [which, problem] of [
        [newest, /^piece 1 of 1 of adapter_model\.safetensors has other content than was written$/],
        [base, /^in its base base, piece 1 of 1 of adapter_model\.safetensors has other content/],
      ] as const) {
        const mend = await spoil(backend, which);
        same(await reading(), 'CHECKPOINT_DAMAGED');
        const { checkpoint, damaged } = await store.latest(run.id);
        const marked = await store.get(newest.id);
        isTrue(problem.test(marked.damage?.problem ?? ''), marked.damage?.problem ?? 'not marked');
        // What rests on the same base is passed over as well: the next one that is whole is offered.
        same([checkpoint?.id, damaged[0]?.id], [which === newest ? base.id : older.id, newest.id]);
        same(await reading(), 'CHECKPOINT_DAMAGED');
        await mend();
        for (const { id } of [base, delta, newest]) same((await store.verify(id)).damage, null);
        same(await reading(), 'no error');
      }
    },
  },
  {
    name: '124: is marked at the start when its base misses bytes',
    run: async (home) => {
      const { backend, base, delta } = await begin(home);
      await backend.deleteChunks([chunkOfPart(base, WEIGHTS)]);
      const again = await openStore(await home.backend());
      same(again.start.damaged.map(({ id }) => id).sort(), [base.id, delta.id].sort());
      same(
        (await again.get(delta.id)).damage?.problem,
        'in its base base, a piece of adapter_model.safetensors is missing',
      );
      // What the base has besides is not needed: only the files that differ are.
      await refuses('CHECKPOINT_DAMAGED', () => again.open(delta.id));
    },
  },
  {
    name: 'is stored whole where the base cannot be read, where it has another size, or where nothing is gained',
    run: async (home) => {
      const { backend, base, store, writer } = await begin(home);
      const input = await wholeCheckpoint({ name: 'next' }, 2e-7);
      const encodedAs = async (parts = input.parts): Promise<unknown> => {
        const stored = await encodeParts(parts, await store.open(base.id));
        const weights = stored.parts.find(({ path }) => path === WEIGHTS);
        return [stored.delta?.baseId ?? null, weights?.stored?.encoding ?? 'raw'];
      };
      const changed = (size: number, bytes: () => Uint8Array<ArrayBuffer>) =>
        input.parts.map((part) =>
          part.path === WEIGHTS ? { path: WEIGHTS, size, chunks: () => [bytes()] } : part,
        );
      const { size } = partOf(base, WEIGHTS);
      same(await encodedAs(), [base.id, 'xor+byteplane+gzip']);
      same(await encodedAs(changed(size, () => crypto.getRandomValues(new Uint8Array(size)))), [null, 'raw']);
      same(await encodedAs(changed(size + 4, () => new Uint8Array(size + 4))), [null, 'raw']);
      const opened = await store.open(base.id);
      const mend = await spoil(backend, base);
      same((await encodeParts(input.parts, opened)).delta, null, 'a damaged base');
      await mend();
      // A part that is not as long as it says is no matter of its form: the save refuses it.
      const cut = await encodeParts(
        changed(size, () => new Uint8Array(size - 1)),
        opened,
      );
      await refuses('CHECKPOINT_INVALID', () => writer.save({ ...input, ...cut }));
    },
  },
];
