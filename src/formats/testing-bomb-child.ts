/**
 * Reads one hostile archive in a process of its own and says how far its memory rose; a bundle of it runs in Node.
 * Prints {"code", "baselineMiB", "peakMiB", "seconds"}.
 */
import { readFileSync, writeSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { readAdapterArchive } from './archive-read.ts';
import { archiveEntries, toTarGz } from './archive-write.ts';
import { bytesSource, type ByteSource } from './bytes.ts';
import { fromStream } from './streams.ts';
import { bombSource } from './testing-bomb.ts';
import { testExport } from './testing-export.ts';
import { safetensorsFile } from './testing-safetensors-corpus.ts';
import { join, rawEntry } from './testing-tar.ts';
import { codeOf, collect } from './testing.ts';

const GIB = 2 ** 30;
/** Larger than what ustar writes in octal. */
const base256 = (size: number) => {
  const field = new Uint8Array(12);
  field[0] = 0x80;
  new DataView(field.buffer).setBigUint64(4, BigInt(size));
  return field;
};
const entryOf = (name: string, size: number) => rawEntry({ name, size: base256(size) });
/** The head of a safetensors file with one tensor of so many bytes. */
const tensorHead = (bytes: number) =>
  safetensorsFile({ a: { dtype: 'F32', shape: [bytes / 4], data_offsets: [0, bytes] } });

function claim(name: string, size: number, start: Uint8Array, zeros: number): ByteSource {
  return bombSource(join(entryOf(name, size), start), zeros);
}

const BOMBS: Readonly<Record<string, () => ByteSource | Promise<ByteSource>>> = {
  zeros: () => bombSource(new Uint8Array(0), 10 * GIB),
  'weights of 10 GB': () => claim('adapter_model.safetensors', 10 * GIB, tensorHead(9 * GIB), 10 * GIB),
  'a card of 10 GB': () => claim('README.md', 10 * GIB, new Uint8Array(0), 10 * GIB),
  'a file of 3.5 GB and then more': () => claim('notes.txt', 3.5 * GIB, new Uint8Array(0), 10 * GIB),
  'a bomb in a gzip': async () => {
    const inner = bombSource(new Uint8Array(0), 10 * GIB);
    return bytesSource('nested.tar.gz', new Uint8Array(gzipSync(await inner.read(0, inner.size))));
  },
};

const MIB = 2 ** 20;

/** The most memory that this process ever had, so that nothing between two looks is missed. */
function highWater(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  // On Linux maxRSS counts the program that started this one as well.
  const kib = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (kib === undefined) throw new Error('/proc/self/status has no VmHWM');
  return Number(kib) * 1024;
}

const warmUp = await collect(fromStream(toTarGz(await archiveEntries(testExport()))));
await readAdapterArchive(bytesSource('a.tar.gz', warmUp));
const bomb = await BOMBS[process.argv[2] ?? '']?.();
if (bomb === undefined) throw new Error(`no bomb ${String(process.argv[2])}`);
globalThis.gc?.();
const baseline = process.memoryUsage().rss;
const start = performance.now();
const code = await codeOf(() => readAdapterArchive(bomb));
const peak = highWater();
const seconds = (performance.now() - start) / 1000;
writeSync(1, JSON.stringify({ code, baselineMiB: baseline / MIB, peakMiB: peak / MIB, seconds }));
