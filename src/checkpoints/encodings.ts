/**
 * The forms in which a store may keep files other than as they are: byte planes, and the difference to the same file of
 * another checkpoint. Reading gives the file itself, checked by its hashes; exports and resumptions never see a form.
 */
import { StudioError } from '../errors.ts';
import { BYTE_PLANE_ENCODING, collectSize, packPlanes, unpackPlanes } from '../formats/byte-planes.ts';
import {
  decodeDelta,
  DELTA_ENCODING,
  encodeDelta,
  type DeltaBase,
  type DeltaInfo,
} from '../formats/delta.ts';
import { inPieces, type FileEntry } from '../formats/file-entry.ts';
import { ADAPTER_WEIGHTS } from '../formats/peft-read.ts';
import type { Chunk, Chunks } from '../formats/streams.ts';
import type { NewPart } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord, PartRecord } from '../storage/records.ts';
import { digestHex } from '../storage/stage.ts';
import type { PartDecoder, StoredCheckpoint } from '../storage/stored-files.ts';
import { damagedError } from '../storage/verify.ts';

/** Opens a checkpoint of the store by its id. */
type Open = (id: string) => Promise<StoredCheckpoint>;

async function* decodePlanes(
  part: PartRecord,
  stored: Chunks,
  checkpoint: Pick<CheckpointRecord, 'name'>,
): AsyncGenerator<Chunk, void, undefined> {
  const bytes = await unpackPlanes(part.path, part.size, stored);
  if ((await digestHex(bytes)) !== part.sha256) {
    throw damagedError(checkpoint, `${part.path} does not unpack to what was saved`);
  }
  yield* inPieces(bytes);
}

async function* decodeDifference(
  open: Open,
  part: PartRecord,
  stored: Chunks,
  { name, delta }: CheckpointRecord,
): AsyncGenerator<Chunk, void, undefined> {
  if (delta === null) {
    throw new StudioError({
      code: 'DELTA_INVALID',
      message: `${part.path} of ${name} is stored as a difference, and nothing says to what.`,
      fix: 'The stored checkpoint is damaged. Use another checkpoint of the run.',
    });
  }
  const base = await open(delta.baseId);
  const source = await base.files().open(part.path);
  const bytes = await source.read(0, source.size);
  yield* inPieces(
    await decodeDelta({ id: delta.baseId, isDelta: base.record.delta !== null, bytes }, delta, stored),
  );
}

/** What `openCheckpointStore` needs to read every form; `open` is asked only when a difference is read. */
export function storeDecoders(open: Open): ReadonlyMap<string, PartDecoder> {
  return new Map<string, PartDecoder>([
    [BYTE_PLANE_ENCODING, decodePlanes],
    [DELTA_ENCODING, (part, stored, checkpoint) => decodeDifference(open, part, stored, checkpoint)],
  ]);
}

/** The same file of the base; null where it cannot be read, which must not keep the next checkpoint from being saved. */
async function readBase(base: StoredCheckpoint, path: string): Promise<DeltaBase | null> {
  try {
    const source = await base.files().open(path);
    const bytes = await source.read(0, source.size);
    return { id: base.record.id, isDelta: base.record.delta !== null, bytes };
  } catch (error) {
    if (error instanceof StudioError && UNREADABLE.includes(error.code)) return null;
    throw error;
  }
}
const UNREADABLE = ['CHECKPOINT_DAMAGED', 'FILE_NOT_FOUND'];

/**
 * The parts as they are to be stored: the adapter as its difference to a base where that is smaller, the training state
 * as byte planes where that is. `delta` has the ratio that was reached; null where the adapter is stored whole, as it is
 * beside a base that is damaged or of another size. Throws DELTA_INVALID for a base that is a difference itself.
 */
export async function encodeParts(
  parts: readonly FileEntry[],
  base: StoredCheckpoint | null,
): Promise<{ parts: NewPart[]; delta: DeltaInfo | null }> {
  const encoded: NewPart[] = [];
  let delta: DeltaInfo | null = null;
  for (const part of parts) {
    const isState = part.path.startsWith('state/') && part.path.endsWith('.safetensors');
    const isWeights = part.path === ADAPTER_WEIGHTS && base !== null;
    const bytes = isState || isWeights ? await collectSize(part.chunks(), part.size) : null;
    if (bytes === null) {
      // One that is not as long as it says is for the store to refuse.
      encoded.push(part);
      continue;
    }
    const whole = { path: part.path, size: part.size, chunks: () => inPieces(bytes) };
    if (isWeights) {
      const from = await readBase(base, part.path);
      const fits = from?.bytes.byteLength === part.size;
      const difference = from !== null && fits ? await encodeDelta(from, bytes) : null;
      delta = difference?.info ?? null;
      encoded.push(difference === null ? whole : { ...whole, stored: difference.stored });
    } else {
      const planes = await packPlanes(bytes);
      encoded.push(planes.size < part.size ? { ...whole, stored: planes } : whole);
    }
  }
  return { parts: encoded, delta };
}
