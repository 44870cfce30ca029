/** The weights of a stored checkpoint in another dtype, converted tensor by tensor while they are written. */
import { inPieces, type FileEntry } from '../formats/file-entry.ts';
import type { FileSet } from '../formats/file-set.ts';
import { decodeFloats, encodeFloats, isFloatDtype } from '../formats/float-codec.ts';
import type { Manifest } from '../formats/manifest.ts';
import { unsupportedAdapter } from '../formats/peft-config.ts';
import { ADAPTER_WEIGHTS } from '../formats/peft-read.ts';
import type { AdapterDtype } from '../formats/peft-write.ts';
import { openSafetensors } from '../formats/safetensors-read.ts';
import { safetensorsEntry } from '../formats/safetensors-write.ts';
import { Sha256, sha256Hex } from '../formats/sha256.ts';
import type { Chunk } from '../formats/streams.ts';

export interface ConvertedWeights {
  entry: FileEntry;
  /** What a manifest says of the tensors, and of the file. */
  tensors: Manifest['tensors'];
  file: Manifest['files'][number];
}

/** Opens the conversion; reads everything once, for the hashes. Throws SAFETENSORS_INVALID or ADAPTER_UNSUPPORTED. */
export async function convertWeights(files: FileSet, dtype: AdapterDtype): Promise<ConvertedWeights> {
  const source = await openSafetensors(await files.open(ADAPTER_WEIGHTS));
  const order: string[] = [];
  const shell = safetensorsEntry(
    ADAPTER_WEIGHTS,
    source.list().map(({ name, shape }) => ({
      name,
      dtype,
      shape,
      // Asked for in the order of the file: nothing is written here but the header.
      bytes: () => {
        order.push(name);
        return new Uint8Array(0);
      },
    })),
  );
  const header: Chunk[] = [];
  for await (const chunk of shell.chunks()) header.push(chunk);
  const converted = async (name: string): Promise<Chunk> => {
    const from = source.get(name)?.dtype ?? '';
    if (!isFloatDtype(from)) throw unsupportedAdapter(`the dtype ${from} (tensor ${name})`);
    return encodeFloats(dtype, decodeFloats(from, await source.read(name)));
  };
  async function* chunks(): AsyncGenerator<Chunk, void, undefined> {
    yield* header;
    for (const name of order) yield* inPieces(await converted(name));
  }
  const tensors: Manifest['tensors'] = {};
  const hash = new Sha256();
  for (const chunk of header) hash.update(chunk);
  for (const name of order) {
    const bytes = await converted(name);
    hash.update(bytes);
    const shape = [...(source.get(name)?.shape ?? [])];
    tensors[name] = { dtype, shape, sha256: sha256Hex(bytes) };
  }
  const { size } = shell;
  return {
    entry: { path: ADAPTER_WEIGHTS, size, chunks },
    tensors,
    file: { path: ADAPTER_WEIGHTS, size, sha256: hash.hex() },
  };
}
