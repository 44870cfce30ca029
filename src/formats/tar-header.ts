/** One tar header block, and the bodies of the two extension entries that are read (PAX `x`, GNU `L`). */
import { BLOCK } from './tar-write.ts';
import { tarError } from './tar-names.ts';

export interface TarHeader {
  name: string;
  size: number;
  type: 'file' | 'folder' | 'pax' | 'long-name';
}

const latin1 = new TextDecoder('latin1');

function decodeName(archive: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw tarError(archive, 'a name is not UTF-8');
  }
}

/** A text field: up to the first NUL, after which nothing may follow. */
function readText(archive: string, block: Uint8Array, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  if (end === -1) return decodeName(archive, field);
  if (field.subarray(end).some((byte) => byte !== 0)) throw tarError(archive, 'a name holds a NUL');
  return decodeName(archive, field.subarray(0, end));
}

/** A size: octal digits, or a base-256 number as GNU tar writes from 8 GiB on. */
function readSize(archive: string, block: Uint8Array): number {
  const field = block.subarray(124, 136);
  if (((field[0] ?? 0) & 0x80) !== 0) {
    if (field[0] !== 0x80) throw tarError(archive, 'a size is negative or out of range');
    const value = field.subarray(1).reduce((total, byte) => total * 256 + byte, 0);
    if (!Number.isSafeInteger(value)) throw tarError(archive, 'a size is out of range');
    return value;
  }
  const [, digits] = /^([0-7]+)[ \0]*$/.exec(latin1.decode(field)) ?? [];
  if (digits === undefined) throw tarError(archive, 'a size is not a number');
  return parseInt(digits, 8);
}

function checkSum(archive: string, block: Uint8Array): void {
  const [, digits] = /^([0-7]+)[ \0]*$/.exec(latin1.decode(block.subarray(148, 156))) ?? [];
  // The checksum counts its own field as spaces, and bytes as unsigned.
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  if (digits === undefined || parseInt(digits, 8) !== sum) {
    throw tarError(archive, 'a header has a wrong checksum');
  }
}

const TYPES: Readonly<Record<string, TarHeader['type']>> = {
  '0': 'file',
  '\0': 'file',
  '5': 'folder',
  x: 'pax',
  L: 'long-name',
};

const REFUSED: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a device',
  '4': 'a device',
  '6': 'a pipe',
  g: 'a global header',
  S: 'a sparse file',
};

/** Reads a header block that is not all zeros. */
export function parseTarHeader(archive: string, block: Uint8Array): TarHeader {
  checkSum(archive, block);
  const magic = latin1.decode(block.subarray(257, 265));
  const isPosix = magic === 'ustar\x0000';
  if (!isPosix && magic !== 'ustar  \0') throw tarError(archive, 'a header is not of the ustar format');
  const flag = String.fromCharCode(block[156] ?? 0);
  const type = TYPES[flag];
  if (type === undefined) {
    throw tarError(
      archive,
      `it holds ${REFUSED[flag] ?? `an entry of the unknown type ${JSON.stringify(flag)}`}`,
    );
  }
  const name = readText(archive, block, 0, 100);
  // GNU's variant may keep times where POSIX has the first part of long names, and Python reads them as that part.
  const prefix = isPosix ? readText(archive, block, 345, 155) : '';
  if (!isPosix && block.subarray(345, 500).some((byte) => byte !== 0)) {
    throw tarError(archive, 'a header holds what programs read differently');
  }
  return { name: prefix === '' ? name : `${prefix}/${name}`, size: readSize(archive, block), type };
}

/** The name in the body of a GNU `L` entry. */
export function parseLongName(archive: string, body: Uint8Array): string {
  const name = readText(archive, body, 0, body.byteLength);
  if (name === '') throw tarError(archive, 'an extended header has an empty name');
  return name;
}

export interface PaxRecords {
  path?: string;
  size?: number;
}

/** Reads the records of a PAX header strictly; only `path` and `size` have an effect. */
export function parsePax(archive: string, body: Uint8Array): PaxRecords {
  const bad = (problem: string): never => {
    throw tarError(archive, `an extended header ${problem}`);
  };
  const seen = new Set<string>();
  const records: PaxRecords = {};
  let at = 0;
  while (at < body.byteLength) {
    const space = body.indexOf(0x20, at);
    const digits = space === -1 ? '' : latin1.decode(body.subarray(at, Math.min(space, at + 12)));
    const length = Number(digits);
    if (!/^[1-9]\d*$/.test(digits) || at + length > body.byteLength)
      return bad('has a record of a wrong length');
    const record = body.subarray(space + 1, at + length);
    if (at + length <= space + 1 || record.at(-1) !== 0x0a) return bad('has a record of a wrong length');
    const text = decodeName(archive, record.subarray(0, -1));
    const equals = text.indexOf('=');
    if (equals < 1) return bad('has a record without a key');
    const key = text.slice(0, equals);
    const value = text.slice(equals + 1);
    if (seen.has(key)) return bad(`has the key ${key.slice(0, 40)} twice`);
    seen.add(key);
    if (key === 'path') {
      // To PAX an empty value takes back what was said before; not every program does that.
      if (value === '') return bad('has an empty name');
      records.path = value;
    } else if (key === 'size') {
      if (!/^(0|[1-9]\d*)$/.test(value) || !Number.isSafeInteger(Number(value))) return bad('has a bad size');
      records.size = Number(value);
    } else if (key.startsWith('GNU.sparse') || key === 'hdrcharset') return bad(`uses ${key.slice(0, 40)}`);
    at += length;
  }
  return records;
}
