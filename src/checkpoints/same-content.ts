/** Whether the store has the content of an import already, so that nothing is kept twice. */
import { sha256Hex, Sha256 } from '../formats/sha256.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { NewCheckpoint } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord } from '../storage/records.ts';

const EVERYTHING = 1e6;

function fileList(files: readonly { path: string; size: number; sha256?: string }[]): string {
  return files
    .map(({ path, size, sha256 = '' }) => `${path} ${String(size)} ${sha256}`)
    .sort()
    .join('\n');
}

/** Path, size and hash of every part; reads all of them, one piece at a time. */
async function hashedList({ parts }: NewCheckpoint): Promise<string> {
  const files: { path: string; size: number; sha256: string }[] = [];
  for (const part of parts) {
    const hash = new Sha256();
    for await (const chunk of part.chunks()) hash.update(chunk);
    files.push({ path: part.path, size: part.size, sha256: hash.hex() });
  }
  return fileList(files);
}

async function candidates(store: CheckpointStore, input: NewCheckpoint): Promise<CheckpointRecord[]> {
  const { items } = await store.list({ kind: input.kind, limit: EVERYTHING });
  if (typeof input.manifest === 'string') {
    // The manifest has the hashes of all the others.
    const manifest = sha256Hex(input.manifest);
    return items.filter(({ parts }) =>
      parts.some(({ path, sha256 }) => path === MANIFEST_FILE && sha256 === manifest),
    );
  }
  const sizes = fileList(input.parts.map(({ path, size }) => ({ path, size })));
  const sameSizes = items.filter(
    ({ parts }) => fileList(parts.map(({ path, size }) => ({ path, size }))) === sizes,
  );
  if (sameSizes.length === 0) return [];
  const list = await hashedList(input);
  return sameSizes.filter(({ parts }) => fileList(parts) === list);
}

/**
 * The checkpoint that holds the very same files, its bytes checked now; one whose bytes are damaged only where there is
 * no sound one; null where there is none.
 */
export async function findSame(
  store: CheckpointStore,
  input: NewCheckpoint,
): Promise<CheckpointRecord | null> {
  let damaged: CheckpointRecord | null = null;
  for (const { id } of await candidates(store, input)) {
    const checked = await store.verify(id);
    if (checked.damage === null) return checked;
    damaged ??= checked;
  }
  return damaged;
}
