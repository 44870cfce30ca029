/**
 * Good, broken and odd gzip files, numbered as in the list of hostile inputs of the format page (section D). Node and
 * the browser must come to the same verdict.
 */
import { deflateRawSync, gzipSync } from 'node:zlib';
import type { Chunk } from './streams.ts';
import { join } from './testing-tar.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);

/** One gzip member. */
export const packed = (content: string | Uint8Array): Chunk => new Uint8Array(gzipSync(content));

/** A member with optional header fields: FEXTRA, FNAME, FCOMMENT, FHCRC. */
export function withFields(flags: number, fields: Uint8Array): Chunk {
  const plain = packed('hello');
  const head = plain.slice(0, 10);
  head[3] = flags;
  return join(head, fields, plain.subarray(10));
}

export interface GzipCase {
  number: number;
  name: string;
  bytes: Chunk;
  /** What it unpacks to; null where it is refused. */
  text: string | null;
}

const refused = (number: number, name: string, bytes: Chunk): GzipCase => ({
  number,
  name,
  bytes,
  text: null,
});
const read = (number: number, name: string, bytes: Chunk, text: string): GzipCase => ({
  number,
  name,
  bytes,
  text,
});

/** Every case whose verdict is the same on every host. */
export function gzipCorpus(): GzipCase[] {
  const hello = packed('hello');
  const world = packed('world');
  const empty = packed('');
  const at = (index: number, byte: number): Chunk => hello.map((b, i) => (i === index ? byte : b));
  const long = (byte: number) => new Uint8Array(100_000).fill(byte);
  const stored = deflateRawSync('hello', { level: 0 });
  return [
    read(0, 'one member', hello, 'hello'),
    read(0, 'stored without compression', join(hello.slice(0, 10), stored, hello.slice(-8)), 'hello'),
    read(
      0,
      'extra field, name and comment',
      withFields(4 | 8 | 16, join(new Uint8Array([3, 0]), 'abc', 'name\0', 'comment\0')),
      'hello',
    ),
    refused(81, 'zip', join('PK\u0003\u0004', new Uint8Array(600))),
    refused(81, 'zstd', new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0])),
    refused(81, 'xz', join(new Uint8Array([0xfd]), '7zXZ\0')),
    refused(81, 'bzip2', utf8('BZh91AY')),
    refused(81, 'an HTML page', utf8('<!DOCTYPE html><html>404</html>')),
    refused(81, 'text', utf8('hello')),
    refused(81, 'nothing', new Uint8Array(0)),
    refused(81, 'zlib', new Uint8Array([0x78, 0x9c, 3, 0, 0, 0, 0, 1])),
    refused(83, 'bad checksum', at(hello.byteLength - 6, 0x55)),
    refused(83, 'bad length', at(hello.byteLength - 1, 0x55)),
    refused(84, 'reserved flags', at(3, 0x80)),
    refused(84, 'all reserved flags', at(3, 0xe0)),
    refused(84, 'another method', at(2, 9)),
    refused(84, 'extra field longer than the file', withFields(4, new Uint8Array([0xff, 0xff]))),
    refused(84, 'name without end', withFields(8, long(0x61))),
    refused(84, 'comment without end', withFields(16, long(0x61))),
    refused(84, 'extra field, then a name without end', withFields(4 | 8, long(0xff))),
    refused(85, 'text after the end', join(hello, 'junk')),
    refused(85, 'one byte after the end', join(hello, 'j')),
    refused(85, 'one zero byte after the end', join(hello, new Uint8Array(1))),
    refused(85, 'zero bytes after the end', join(hello, new Uint8Array(600))),
    refused(85, 'zero bytes and text after the end', join(hello, new Uint8Array(1), 'junk')),
    refused(85, 'the start of another member after the end', join(hello, world.slice(0, 5))),
    refused(86, 'two members', join(hello, world)),
    refused(86, 'the same member twice', join(hello, hello)),
    refused(86, 'three members', join(hello, world, hello)),
    refused(86, 'two members with a zero byte between', join(hello, new Uint8Array(1), world)),
    refused(86, 'two members with a block of zeros between', join(hello, new Uint8Array(512), world)),
    refused(86, 'two members, the second damaged', join(hello, world.slice(0, -1))),
    refused(86, 'an empty member behind', join(hello, empty)),
    refused(86, 'an empty member in the middle', join(hello, empty, world)),
    read(90, 'an empty member alone', empty, ''),
    refused(90, 'an empty member and something behind it', join(empty, 'junk')),
  ];
}
