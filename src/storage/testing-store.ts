/** What the tests of the store share. Runs in Node and in the test browser, so it brings its own few assertions. */
import { sortedJson } from '../formats/peft-write.ts';
import { bytesEntry, type FileEntry } from '../formats/file-entry.ts';
import { sha256Hex } from '../formats/sha256.ts';
import type { Chunk } from '../formats/streams.ts';
import { codeOf, collect } from '../formats/testing.ts';
import type { StoreBackend } from './backend.ts';
import type { CheckpointStore, RunWriter, StoreOptions } from './checkpoint-store.ts';
import type { NewCheckpoint } from './new-checkpoint.ts';
import { openCheckpointStore } from './open-store.ts';
import { chunksOf, type CheckpointRecord } from './records.ts';

/** A home that is empty at first; every backend that it opens is a connection of its own to the same store. */
export interface TestHome {
  backend(): Promise<StoreBackend>;
}

export interface StoreCase {
  name: string;
  run(home: TestHome): Promise<void>;
}

/** Throws unless both are the same as JSON. */
export function same(actual: unknown, expected: unknown, what = 'value'): void {
  const [left, right] = [sortedJson(actual), sortedJson(expected)];
  if (left !== right) throw new Error(`${what}: got ${left}, expected ${right}`);
}

export function isTrue(condition: boolean, what: string): void {
  if (!condition) throw new Error(`not so: ${what}`);
}

/** Throws unless `action` fails with this code. */
export async function refuses(code: string, action: () => unknown): Promise<void> {
  same(await codeOf(action), code, 'error code');
}

/** Bytes that look random and are the same for the same seed. */
export function testBytes(seed: number, length: number): Chunk {
  const bytes = new Uint8Array(length);
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

export const TEST_MANIFEST = {
  base: {
    id: 'acme/tiny-llama',
    revision: null,
    configSha256: sha256Hex('config'),
    tokenizerSha256: sha256Hex('tokenizer'),
  },
  lora: {
    r: 8,
    alpha: 16,
    dropout: 0,
    rslora: false,
    targetModules: ['q_proj'],
    rankPattern: {},
    alphaPattern: {},
  },
  optimizer: { type: 'adamw' as const, betas: [0.9, 0.95] as [number, number], eps: 1e-12, weightDecay: 0 },
  determinism: { adapter: 'test', shaderHash: 'abc', dtype: 'F32' },
  appVersion: '0.1.0',
  paramOrder: [],
  tensors: {},
};

/** A checkpoint: weights and moments that depend on the step, a tokenizer that does not. */
export function testCheckpoint(
  step: number,
  changes: Partial<NewCheckpoint> = {},
  weightBytes = 3000,
): NewCheckpoint {
  const parts: FileEntry[] = [
    bytesEntry('adapter_model.safetensors', testBytes(step, weightBytes)),
    bytesEntry('state/optimizer.safetensors', testBytes(1000 + step, 2 * weightBytes)),
    bytesEntry('tokenizer.json', testBytes(-5, 1000)),
  ];
  return {
    name: `step-${String(step).padStart(6, '0')}`,
    step,
    kind: 'full',
    trigger: 'steps',
    parts,
    manifest: TEST_MANIFEST,
    metrics: { loss: 2 / (step + 1) },
    ...changes,
  };
}

/** Small chunks, so that parts have several. */
export const SMALL = { chunkBytes: 1024 };

/** A store with a run that is open for writing. */
export async function openRun(
  home: TestHome,
  options: StoreOptions = SMALL,
): Promise<{ backend: StoreBackend; store: CheckpointStore; runId: string; writer: RunWriter }> {
  const backend = await home.backend();
  const store = await openCheckpointStore(backend, options);
  const runId = (await store.createRun({ name: 'pirates' })).id;
  const opened = await store.openRun(runId);
  if (!opened.writable) throw new Error(opened.reason);
  return { backend, store, runId, writer: opened };
}

/** Throws unless every part of a listed checkpoint reads as what was handed in. */
export async function sameContent(
  store: CheckpointStore,
  id: string,
  expected: readonly FileEntry[],
): Promise<void> {
  const entries = (await store.open(id)).entries();
  for (const part of expected) {
    const entry = entries.find(({ path }) => path === part.path);
    if (entry === undefined) throw new Error(`${part.path} is not there`);
    const [actual, wanted] = [await collect(entry.chunks()), await collect(part.chunks())];
    same(sha256Hex(actual), sha256Hex(wanted), part.path);
  }
}

/** The chunks that are stored and belong to no record, and those that records need and are not there. */
export async function looseChunks(backend: StoreBackend): Promise<{ orphans: number; missing: number }> {
  const { checkpoints, tombstones } = await backend.contents();
  const needed = chunksOf([...checkpoints, ...tombstones.map(({ checkpoint }) => checkpoint)]);
  const stored = await backend.listChunks();
  return {
    orphans: [...stored.keys()].filter((sha256) => !needed.has(sha256)).length,
    missing: [...needed.keys()].filter((sha256) => !stored.has(sha256)).length,
  };
}

/** The first chunk of a part. */
export function chunkOfPart(checkpoint: CheckpointRecord, path: string, index = 0): string {
  const sha256 = checkpoint.parts.find((part) => part.path === path)?.chunks[index]?.sha256;
  if (sha256 === undefined) throw new Error(`${path} has no chunk ${String(index)}`);
  return sha256;
}

/** The same backend, whose writes first go through `before`; it may throw, or wait. */
export function watchWrites(backend: StoreBackend, before: (call: string) => Promise<void>): StoreBackend {
  const watched = ['putJournal', 'putChunks', 'apply', 'deleteChunks'];
  return new Proxy(backend, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      if (!watched.includes(String(key))) return value.bind(target) as unknown;
      return async (...args: unknown[]): Promise<unknown> => {
        await before(String(key));
        return Reflect.apply(value, target, args);
      };
    },
  });
}
