/** The protobuf wire format, as much as the protocol needs: varints, fixed64, fixed32 and length-delimited fields. */
import { APIResponseValidationError } from '../errors.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const utf8 = new TextEncoder();

/** Writes one message. Fields at their default are left to the caller to omit. */
export class ProtoWriter {
  #buffer = new Uint8Array(256);
  #length = 0;

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + bytes));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }

  /** An unsigned value, or the two's complement of a negative one in 64 bits, as int32 and int64 are written. */
  #varint(value: number | bigint): void {
    this.#room(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 0x7fn) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  int(field: number, value: number | bigint): this {
    this.#varint(field << 3);
    this.#varint(value);
    return this;
  }

  double(field: number, value: number): this {
    this.#varint((field << 3) | 1);
    this.#room(8);
    new DataView(this.#buffer.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  float(field: number, value: number): this {
    this.#varint((field << 3) | 5);
    this.#room(4);
    new DataView(this.#buffer.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint((field << 3) | 2);
    this.#varint(value.length);
    this.#room(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, utf8.encode(value));
  }

  message(field: number, write: (inner: ProtoWriter) => void): this {
    const inner = new ProtoWriter();
    write(inner);
    return this.bytes(field, inner.finish());
  }

  /** A repeated number, packed as proto3 does. */
  packed(field: number, values: readonly (number | bigint)[]): this {
    if (values.length === 0) return this;
    const inner = new ProtoWriter();
    for (const value of values) inner.#varint(value);
    return this.bytes(field, inner.finish());
  }

  finish(): Bytes {
    return this.#buffer.slice(0, this.#length);
  }
}

export interface ProtoField {
  field: number;
  /** 0 varint, 1 fixed64, 2 length-delimited, 5 fixed32 */
  wire: 0 | 1 | 2 | 5;
  /** As it stands for varints; as unsigned bits. */
  varint: bigint;
  /** The content of the others. */
  bytes: Bytes;
}

const broken = (why: string): APIResponseValidationError =>
  new APIResponseValidationError({ message: `The protobuf message is broken: ${why}.` });

/** The fields of a message, in order. Unknown ones are given too, for the caller to skip. Throws on broken messages. */
export function* protoFields(message: Uint8Array): Generator<ProtoField, void, undefined> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw broken('it ends within a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw broken('a number has more than 10 bytes');
  };
  const take = (length: number): Bytes => {
    if (length > message.length - at) throw broken('it ends within a field');
    const content = message.slice(at, at + length);
    at += length;
    return content;
  };
  const none = new Uint8Array(0);
  while (at < message.length) {
    const tag = varint();
    const field = Number(tag >> 3n);
    if (field < 1 || field > 2 ** 29 - 1) throw broken(`there is no field ${String(field)}`);
    switch (Number(tag & 7n)) {
      case 0:
        yield { field, wire: 0, varint: varint(), bytes: none };
        break;
      case 1:
        yield { field, wire: 1, varint: 0n, bytes: take(8) };
        break;
      case 2: {
        const length = varint();
        if (length > BigInt(message.length)) throw broken('a field is longer than the message');
        yield { field, wire: 2, varint: 0n, bytes: take(Number(length)) };
        break;
      }
      case 5:
        yield { field, wire: 5, varint: 0n, bytes: take(4) };
        break;
      default:
        throw broken(`it has the wire type ${String(tag & 7n)}`);
    }
  }
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Throws where a field has another wire type than its meaning needs. */
function need(f: ProtoField, wire: ProtoField['wire']): ProtoField {
  if (f.wire === wire) return f;
  throw broken(`field ${String(f.field)} has the wire type ${String(f.wire)}, not ${String(wire)}`);
}

export const toInt32 = (f: ProtoField): number => Number(BigInt.asIntN(32, need(f, 0).varint));
export const toInt64 = (f: ProtoField): bigint => BigInt.asIntN(64, need(f, 0).varint);
export const toUint64 = (f: ProtoField): number => Number(need(f, 0).varint);
export const toText = (f: ProtoField): string => new TextDecoder().decode(need(f, 2).bytes);
export const toDouble = (f: ProtoField): number => view(need(f, 1).bytes).getFloat64(0, true);
export const toFloat = (f: ProtoField): number => view(need(f, 5).bytes).getFloat32(0, true);
/** The content of a nested message or an array. */
export const toBytes = (f: ProtoField): Bytes => need(f, 2).bytes;

/** A repeated number, packed or one by one. */
export function toInts(f: ProtoField): bigint[] {
  if (f.wire === 0) return [toInt64(f)];
  need(f, 2);
  const values: bigint[] = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of f.bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (shift > 70n) throw broken('a number has more than 10 bytes');
    if (byte >= 0x80) continue;
    values.push(BigInt.asIntN(64, value));
    value = 0n;
    shift = 0n;
  }
  if (shift > 0n) throw broken('a list ends within a number');
  return values;
}
