/** What the browser test of this folder runs in its page; loaded there as a module. */
import { readAdapterArchive } from './archive-read.ts';
import { bytesSource } from './bytes.ts';
import { gunzip } from './gzip.ts';
import { sourceChunks } from './streams.ts';
import { codeOf, collect } from './testing.ts';

const source = (bytes: readonly number[]) => bytesSource('t.gz', Uint8Array.from(bytes));

/** The text that a gzip file unpacks to, or the code of the error. */
async function unpack(bytes: readonly number[]): Promise<string> {
  let text = '';
  const code = await codeOf(async () => {
    text = new TextDecoder().decode(await collect(gunzip('t.gz', sourceChunks(source(bytes)), 1e6)));
  });
  return code === 'no error' ? text : code;
}

/** The codes of reading an adapter archive that was cut off after each of these lengths. */
async function readCut(bytes: readonly number[], lengths: readonly number[]): Promise<string[]> {
  const codes: string[] = [];
  for (const length of lengths) {
    codes.push(await codeOf(() => readAdapterArchive(source(bytes.slice(0, length)))));
  }
  return codes;
}

/** How much of a bomb of zeros came out before it was refused, and the code. */
async function unpackBomb(bytes: readonly number[], maxBytes: number) {
  let out = 0;
  const code = await codeOf(async () => {
    for await (const chunk of gunzip('bomb.gz', sourceChunks(source(bytes)), maxBytes))
      out += chunk.byteLength;
  });
  return { code, out };
}

export const inBrowser = { unpack, readCut, unpackBomb };
Object.assign(globalThis, { inBrowser });
