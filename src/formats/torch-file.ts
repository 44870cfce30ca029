/** Files of torch.save as values: plain Python values with tensors, read by the safe reader and written in the same form. */
import type { ByteSource } from './bytes.ts';
import { bytesEntry, inPieces, textEntry, type FileEntry } from './file-entry.ts';
import { readPickle } from './pickle-read.ts';
import { torchError } from './pickle-stack.ts';
import type { TensorView } from './pickle-tensors.ts';
import { pickleBytes } from './pickle-write.ts';
import type { Chunk } from './streams.ts';
import { StudioError } from '../errors.ts';
import { elementCount, isTensor, isTuple, TORCH_ITEM_BYTES } from './torch-values.ts';
import type { TorchTensor, TorchValue } from './torch-values.ts';
import type { TensorInfo, TensorSource } from './tensors.ts';
import { openTorchZip, type TorchZip, type ZipMember } from './torch-zip-read.ts';
import { zipEntry, type ZipOptions } from './torch-zip-write.ts';

/** Room for 100,000 tensors as PyTorch writes them. */
const MAX_PICKLE_BYTES = 32 * 2 ** 20;

const RESAVE = 'Save it again with torch.save in PyTorch 2.1 or newer, or use safetensors.';

const KNOWN = new Set(['data.pkl', 'byteorder', 'version', '.format_version', '.storage_alignment']);
const isKnown = (name: string): boolean =>
  KNOWN.has(name) || name === '.data/serialization_id' || /^data\/(0|[1-9]\d{0,8})$/.test(name);

async function smallText(zip: TorchZip, file: string, name: string): Promise<string> {
  const member = zip.members.get(name);
  if (member === undefined) throw torchError(file, `it has no entry ${name}`, RESAVE);
  if (member.size > 64) throw torchError(file, `its entry ${name} has ${String(member.size)} bytes`);
  return new TextDecoder('latin1').decode(await zip.read(member));
}

/** The entries around the tensors: what kind of file it is, and whether its numbers can be read here. */
async function checkEntries(zip: TorchZip, file: string): Promise<ZipMember> {
  const names = [...zip.members.keys()];
  if (names.some((name) => name === 'constants.pkl' || name.startsWith('code/'))) {
    throw torchError(file, 'it is a TorchScript program, not saved tensors', RESAVE);
  }
  const stray = names.find((name) => !isKnown(name));
  if (stray !== undefined) {
    throw torchError(file, `it holds ${JSON.stringify(stray.slice(0, 80))}, which torch.save does not write`);
  }
  const order = await smallText(zip, file, 'byteorder');
  if (order !== 'little') throw torchError(file, `its byte order is ${JSON.stringify(order)}`, RESAVE);
  const version = await smallText(zip, file, 'version');
  if (version.trim() !== '3') throw torchError(file, `its version is ${JSON.stringify(version)}`, RESAVE);
  const pickle = zip.members.get('data.pkl');
  if (pickle === undefined) throw torchError(file, 'it has no entry data.pkl', RESAVE);
  if (pickle.size > MAX_PICKLE_BYTES) {
    throw new StudioError({
      code: 'INPUT_TOO_LARGE',
      message: `${file}: its pickle has ${String(pickle.size)} bytes; at most ${String(MAX_PICKLE_BYTES)} are read.`,
      fix: 'Check that this is the right file.',
    });
  }
  return pickle;
}

/** Dims of more than one element, by growing stride. */
function steps({ shape, strides }: TensorView): { size: number; stride: number }[] {
  return shape
    .map((size, i) => ({ size, stride: strides[i] ?? 0 }))
    .filter(({ size }) => size > 1)
    .sort((a, b) => a.stride - b.stride);
}

/** Copies a view whose elements are not in row-major order; its extent was checked before. */
function gather(source: Chunk, view: TensorView, itemBytes: number): Chunk {
  const { shape, strides } = view;
  const out = new Uint8Array(elementCount(shape) * itemBytes);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.byteLength; to += itemBytes) {
    const at = from * itemBytes;
    for (let i = 0; i < itemBytes; i++) out[to + i] = source[at + i] ?? 0;
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      const next = (index[dim] ?? 0) + 1;
      const stride = strides[dim] ?? 0;
      if (next < (shape[dim] ?? 0)) {
        index[dim] = next;
        from += stride;
        break;
      }
      index[dim] = 0;
      from -= (next - 1) * stride;
    }
  }
  return out;
}

/** Makes tensors over the storages of a container, each checked against its storage and the others. */
class TensorMaker {
  readonly #zip: TorchZip;
  readonly #file: string;
  /** Elements that are taken, per storage, with the dtype it was first used with. */
  readonly #used = new Map<string, { dtype: string; ranges: [number, number][] }>();

  constructor(zip: TorchZip, file: string) {
    this.#zip = zip;
    this.#file = file;
  }

  make(view: TensorView): TorchTensor {
    const { storage, offset, shape } = view;
    const itemBytes = TORCH_ITEM_BYTES[storage.dtype];
    const member = this.#zip.members.get(`data/${storage.key}`);
    if (member === undefined) return this.#fail(`it lacks the storage ${storage.key}`);
    if (member.size !== storage.numel * itemBytes) {
      this.#fail(
        `the storage ${storage.key} has ${String(member.size)} bytes, but ${String(storage.numel)} elements of ${storage.dtype}`,
      );
    }
    const { extent, rowMajor } = this.#extent(view);
    if (offset + extent > storage.numel) this.#fail(`a tensor reaches beyond the storage ${storage.key}`);
    this.#claim(view, extent);
    const from = offset * itemBytes;
    const to = (offset + extent) * itemBytes;
    return {
      kind: 'tensor',
      dtype: storage.dtype,
      shape,
      bytes: async () => {
        const bytes = await this.#zip.read(member, from, to);
        return rowMajor ? bytes : gather(bytes, view, itemBytes);
      },
    };
  }

  /** No two tensors may share an element: saved state never does, and reading it would write one through the other. */
  finish(): void {
    for (const [key, { ranges }] of this.#used) {
      ranges.sort((a, b) => a[0] - b[0]);
      ranges.forEach(([start], i) => {
        const before = ranges[i - 1];
        if (before !== undefined && start < before[1])
          this.#fail(`two tensors overlap in the storage ${key}`);
      });
    }
  }

  #fail(problem: string): never {
    throw torchError(this.#file, problem);
  }

  /** The elements from a view's first to its last, and whether they are all of it in order. */
  #extent(view: TensorView): { extent: number; rowMajor: boolean } {
    const count = elementCount(view.shape);
    if (!Number.isSafeInteger(count)) this.#fail('the shape of a tensor is too large');
    if (count === 0) return { extent: 0, rowMajor: true };
    let extent = 1;
    let rowMajor = true;
    for (const { size, stride } of steps(view)) {
      // A smaller stride than what lies within it would show elements twice.
      if (stride < extent) this.#fail('a tensor shows elements more than once');
      if (stride !== extent) rowMajor = false;
      extent += (size - 1) * stride;
      if (!Number.isSafeInteger(extent)) this.#fail('the strides of a tensor are too large');
    }
    const inOrder = view.shape
      .map((size, i) => ({ size, stride: view.strides[i] ?? 0 }))
      .filter(({ size }) => size > 1)
      .every(({ stride }, i, all) => i === 0 || stride <= (all[i - 1]?.stride ?? 0));
    return { extent, rowMajor: rowMajor && inOrder };
  }

  #claim({ storage, offset }: TensorView, extent: number): void {
    const used = this.#used.get(storage.key) ?? { dtype: storage.dtype, ranges: [] };
    if (used.dtype !== storage.dtype) this.#fail(`the storage ${storage.key} has two dtypes`);
    if (extent > 0) used.ranges.push([offset, offset + extent]);
    this.#used.set(storage.key, used);
  }
}

/** Reads a file of torch.save; tensors are read when asked for. Throws TORCH_FILE_INVALID or INPUT_TOO_LARGE. */
export async function readTorchFile(source: ByteSource): Promise<TorchValue> {
  const file = source.name;
  const zip = await openTorchZip(source);
  const pickle = await checkEntries(zip, file);
  const maker = new TensorMaker(zip, file);
  const value = readPickle(await zip.read(pickle), { file, tensor: (view) => maker.make(view) });
  maker.finish();
  return value;
}

/** The tensors of a file that holds one dict of them, as PEFT's adapter_model.bin does. */
export async function openTorchTensors(source: ByteSource): Promise<TensorSource> {
  const value = await readTorchFile(source);
  if (!(value instanceof Map)) throw torchError(source.name, 'it is not a dict of tensors');
  const tensors = new Map<string, { info: TensorInfo; tensor: TorchTensor }>();
  for (const [name, tensor] of value) {
    if (typeof name !== 'string' || !isTensor(tensor)) {
      throw torchError(
        source.name,
        `it holds ${JSON.stringify(String(name).slice(0, 80))}, which is no tensor`,
      );
    }
    const { dtype, shape } = tensor;
    const byteLength = elementCount(shape) * TORCH_ITEM_BYTES[dtype];
    tensors.set(name, { info: { name, dtype, shape, byteLength }, tensor });
  }
  const infos = [...tensors.values()].map(({ info }) => info);
  return {
    list: () => infos,
    get: (name) => tensors.get(name)?.info,
    read: async (name) => {
      const found = tensors.get(name);
      if (found === undefined) throw torchError(source.name, `there is no tensor ${name}`);
      return found.tensor.bytes();
    },
  };
}

/** In the order in which they are written; a tensor that occurs twice is stored twice. */
function collectTensors(value: TorchValue, found: TorchTensor[]): void {
  if (isTensor(value)) found.push(value);
  else if (isTuple(value)) for (const item of value.items) collectTensors(item, found);
  else if (Array.isArray(value)) for (const item of value) collectTensors(item, found);
  else if (value instanceof Map) for (const item of value.values()) collectTensors(item, found);
}

/** A storage as an entry; its bytes are asked for once per pass over the file. */
function storageEntry(path: string, tensor: TorchTensor): FileEntry {
  const size = elementCount(tensor.shape) * TORCH_ITEM_BYTES[tensor.dtype];
  return {
    path,
    size,
    chunks: async function* () {
      yield* inPieces(await tensor.bytes());
    },
  };
}

/** A value as a file of torch.save, which names the folder inside by the file's own name. The same value gives the same bytes. */
export function torchFileEntry(path: string, value: TorchValue, options: ZipOptions = {}): FileEntry {
  const folder = path.slice(path.lastIndexOf('/') + 1).replace(/\.[^.]+$/, '');
  const tensors: TorchTensor[] = [];
  collectTensors(value, tensors);
  let next = 0;
  const pickle = pickleBytes(value, () => String(next++));
  const entries = [
    bytesEntry(`${folder}/data.pkl`, pickle),
    textEntry(`${folder}/.format_version`, '1'),
    textEntry(`${folder}/.storage_alignment`, '64'),
    textEntry(`${folder}/byteorder`, 'little'),
    ...tensors.map((tensor, key) => storageEntry(`${folder}/data/${String(key)}`, tensor)),
    textEntry(`${folder}/version`, '3\n'),
  ];
  return zipEntry(path, entries, options);
}
