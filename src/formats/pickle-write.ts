/**
 * Writes pickles of protocol 2 with the few opcodes that PyTorch's files need. Nothing is memoised: each value is
 * written where it stands, so the same value always gives the same bytes.
 */
import { StudioError } from '../errors.ts';
import { elementCount, isTensor, isTuple, STORAGE_CLASSES } from './torch-values.ts';
import type { TorchTensor, TorchValue } from './torch-values.ts';

const MAX_DEPTH = 64;

const encoder = new TextEncoder();

function unwritable(problem: string): StudioError {
  return new StudioError({
    code: 'INTERNAL',
    message: `A value cannot be written as a pickle: ${problem}.`,
    fix: 'This is a bug in Lorikeet. Please report it with this message.',
  });
}

/** Collects bytes in a buffer that grows. */
class Output {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Room for `count` more bytes; gives where they begin. Buffer and view may be other ones afterwards. */
  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.byteLength * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  /** Single-byte opcodes, as characters. */
  ops(text: string): void {
    const at = this.#grow(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text.charCodeAt(i);
  }

  uint(value: number, width: 1 | 2): void {
    const at = this.#grow(width);
    if (width === 1) this.#view.setUint8(at, value);
    else this.#view.setUint16(at, value, true);
  }

  int32(value: number): void {
    const at = this.#grow(4);
    this.#view.setInt32(at, value, true);
  }

  float64(value: number): void {
    const at = this.#grow(8);
    // The one big-endian number of the format.
    this.#view.setFloat64(at, value, false);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/** A long in as few bytes as two's complement allows. */
function longBytes(value: bigint): Uint8Array {
  let width = 1;
  while (BigInt.asIntN(width * 8, value) !== value) width++;
  if (width > 255) throw unwritable('an int is too large');
  return Uint8Array.from({ length: width }, (_, i) => Number(BigInt.asUintN(8, value >> BigInt(8 * i))));
}

class Pickler {
  readonly #out = new Output();
  readonly #storageKey: (tensor: TorchTensor) => string;

  constructor(storageKey: (tensor: TorchTensor) => string) {
    this.#storageKey = storageKey;
  }

  dump(value: TorchValue): Uint8Array<ArrayBuffer> {
    this.#out.ops('\x80\x02');
    this.#value(value, 0);
    this.#out.ops('.');
    return this.#out.finish();
  }

  #value(value: TorchValue, depth: number): void {
    const out = this.#out;
    if (depth > MAX_DEPTH) throw unwritable(`it is nested more than ${String(MAX_DEPTH)} deep`);
    if (value === null) out.ops('N');
    else if (typeof value === 'boolean') out.ops(value ? '\x88' : '\x89');
    else if (typeof value === 'bigint') this.#int(value);
    else if (typeof value === 'number') {
      out.ops('G');
      out.float64(value);
    } else if (typeof value === 'string') this.#string(value);
    else if (isTensor(value)) this.#tensor(value);
    else if (isTuple(value)) this.#tuple(value.items, depth);
    else if (Array.isArray(value)) {
      out.ops(value.length === 0 ? ']' : '](');
      for (const item of value) this.#value(item, depth + 1);
      if (value.length > 0) out.ops('e');
    } else {
      out.ops(value.size === 0 ? '}' : '}(');
      for (const [key, item] of value) {
        this.#value(key, depth + 1);
        this.#value(item, depth + 1);
      }
      if (value.size > 0) out.ops('u');
    }
  }

  #int(value: bigint): void {
    const out = this.#out;
    if (value >= 0n && value < 2n ** 8n) {
      out.ops('K');
      out.uint(Number(value), 1);
    } else if (value >= 0n && value < 2n ** 16n) {
      out.ops('M');
      out.uint(Number(value), 2);
    } else if (BigInt.asIntN(32, value) === value) {
      out.ops('J');
      out.int32(Number(value));
    } else {
      const bytes = longBytes(value);
      out.ops('\x8a');
      out.uint(bytes.byteLength, 1);
      out.raw(bytes);
    }
  }

  #string(text: string): void {
    const bytes = encoder.encode(text);
    this.#out.ops('X');
    this.#out.int32(bytes.byteLength);
    this.#out.raw(bytes);
  }

  #tuple(items: readonly TorchValue[], depth: number): void {
    this.#out.ops(items.length === 0 ? ')' : '(');
    for (const item of items) this.#value(item, depth + 1);
    if (items.length > 0) this.#out.ops('t');
  }

  /** `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)` over a storage of its own. */
  #tensor(tensor: TorchTensor): void {
    const out = this.#out;
    out.ops('ctorch._utils\n_rebuild_tensor_v2\n((');
    this.#string('storage');
    out.ops(`ctorch\n${STORAGE_CLASSES[tensor.dtype]}\n`);
    this.#string(this.#storageKey(tensor));
    this.#string('cpu');
    this.#int(BigInt(elementCount(tensor.shape)));
    out.ops('tQ');
    this.#int(0n);
    const strides: bigint[] = [];
    let stride = 1;
    for (const dim of tensor.shape.toReversed()) {
      strides.unshift(BigInt(stride));
      stride *= Math.max(1, dim);
    }
    this.#tuple(tensor.shape.map(BigInt), 0);
    this.#tuple(strides, 0);
    out.ops('\x89ccollections\nOrderedDict\n)RtR');
  }
}

/** The pickle of a value; `storageKey` names the storage of each tensor, asked in the order of the value. */
export function pickleBytes(
  value: TorchValue,
  storageKey: (tensor: TorchTensor) => string,
): Uint8Array<ArrayBuffer> {
  return new Pickler(storageKey).dump(value);
}
