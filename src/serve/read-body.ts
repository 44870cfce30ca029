/** A request's body, within its limit: read, decompressed, and parsed as JSON. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { HttpFailure } from './failure.ts';

const tooLarge = (limit: number): HttpFailure =>
  // The rest of the body is not read, so the connection cannot go on.
  new HttpFailure(
    413,
    `The body is larger than ${String(limit)} bytes. Send it in parts, or raise --max-body.`,
    {
      Connection: 'close',
    },
  );

type Unpack = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Uint8Array>;

/** zstd is in Node from 22.15 on. */
function unpacker(encoding: string): Unpack | null {
  switch (encoding) {
    case 'gzip':
      return promisify(zlib.gunzip) as Unpack;
    case 'deflate':
      return promisify(zlib.inflate) as Unpack;
    case 'zstd': {
      const found: unknown = (zlib as Record<string, unknown>)['zstdDecompress'];
      return typeof found === 'function' ? (promisify(found as typeof zlib.gunzip) as Unpack) : null;
    }
    default:
      return null;
  }
}

export const CAN_ZSTD = unpacker('zstd') !== null;

async function unpack(packed: Uint8Array, encoding: string, limit: number): Promise<Uint8Array> {
  const work = unpacker(encoding);
  if (work === null) {
    throw new HttpFailure(415, `Bodies in ${JSON.stringify(encoding.slice(0, 40))} are not read here.`);
  }
  try {
    return await work(packed, { maxOutputLength: limit });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit);
    throw new HttpFailure(400, `The body is not ${encoding}.`);
  }
}

/** The bytes of the body. Throws 413 and 415. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > limit) throw tooLarge(limit);
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > limit) throw tooLarge(limit);
    parts.push(part);
  }
  const body = Buffer.concat(parts);
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  return encoding === 'identity' || encoding === '' ? body : unpack(body, encoding, limit);
}

/** The type without its parameters. */
export const mediaType = (header: string | undefined): string =>
  (header ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

/** The body as JSON; an empty one is an empty object. Throws 400. */
export function parseJson(body: Uint8Array): unknown {
  if (body.length === 0) return {};
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown;
  } catch (error) {
    throw new HttpFailure(400, `The body is no JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}
