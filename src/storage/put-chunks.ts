/** Writing chunks: only those that are needed, in groups that one transaction takes. */
import type { StoreBackend, StoredChunk } from './backend.ts';
import { storeFull } from './full.ts';
import { throwIfCancelled } from './stage.ts';
import { readGoodChunk } from './verify.ts';

/** Browsers hold a transaction in memory until it is done. */
const BATCH_BYTES = 64 * 2 ** 20;

export function bytesIn(chunks: readonly StoredChunk[]): number {
  return chunks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
}

/** The chunks that are not stored yet, and those that are but no longer hold what they should. */
export async function chunksToWrite(
  backend: StoreBackend,
  chunks: Iterable<StoredChunk>,
): Promise<StoredChunk[]> {
  const wanted: StoredChunk[] = [];
  for (const chunk of chunks) {
    const found = await readGoodChunk(backend, { sha256: chunk.sha256, size: chunk.bytes.byteLength });
    if ('problem' in found) wanted.push(chunk);
  }
  return wanted;
}

/** Refuses at once what cannot fit by the host's own estimate, instead of filling the disk first. */
export async function checkSpace(backend: StoreBackend, bytes: number): Promise<void> {
  const space = await backend.estimate();
  if (space !== null && space.quota - space.usage < bytes) throw storeFull(backend.label);
}

export async function putInBatches(
  backend: StoreBackend,
  chunks: readonly StoredChunk[],
  signal?: AbortSignal,
): Promise<void> {
  let batch: StoredChunk[] = [];
  for (const chunk of chunks) {
    if (batch.length > 0 && bytesIn(batch) + chunk.bytes.byteLength > BATCH_BYTES) {
      throwIfCancelled(signal, 'Saving');
      await backend.putChunks(batch);
      batch = [];
    }
    batch.push(chunk);
  }
  if (batch.length > 0) await backend.putChunks(batch);
}
