import fc from 'fast-check';
import { unpackTar } from 'modern-tar';
import { describe, expect, it } from 'vitest';
import { bytesEntry, textEntry } from './file-entry.ts';
import { readTar } from './tar-read.ts';
import { tarChunks } from './tar-write.ts';
import { readAll } from './testing-tar.ts';
import { codeOf, collect } from './testing.ts';

describe('tarChunks', () => {
  it('writes the same bytes every time, with no time and no owner in them', async () => {
    const entries = [textEntry('a.txt', 'hello'), bytesEntry('sub/b', new Uint8Array(600))];
    const bytes = await collect(tarChunks(entries));
    expect(bytes.byteLength).toBe(512 * (2 + 1 + 2 + 2));
    expect(await collect(tarChunks(entries))).toEqual(bytes);
    const text = new TextDecoder('latin1').decode(bytes.subarray(0, 512));
    expect(text.slice(100, 148)).toBe('0000644\x000000000\x000000000\x0000000000005\x0000000000000\0');
    expect(text.slice(257, 265)).toBe('ustar\x0000');
    expect(text.slice(265, 329)).toBe('\0'.repeat(64));
  });

  it('is read by our reader and by modern-tar in strict mode', async () => {
    const part = fc.stringMatching(/^[a-z0-9äé_]{1,60}$/);
    const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const files = fc.uniqueArray(fc.record({ path, body: fc.string({ maxLength: 1200 }) }), {
      maxLength: 5,
      // No two names that clash: each starts with its own first folder.
      selector: (file) => file.path.split('/')[0]?.toLowerCase(),
    });
    const reserved = /(^|\/)(con|prn|aux|nul|com\d|lpt\d)(\/|$)/;
    await fc.assert(
      fc.asyncProperty(files, async (list) => {
        fc.pre(list.every((file) => !reserved.test(file.path)));
        const bytes = await collect(tarChunks(list.map((file) => textEntry(file.path, file.body))));
        const expected = list.map((file) => [file.path, file.body]);
        expect([...(await readAll(bytes))]).toEqual(expected);
        const theirs = await unpackTar(bytes, { strict: true });
        expect(theirs.map((e) => [e.header.name, new TextDecoder().decode(e.data)])).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('splits long paths and uses PAX only where it must', async () => {
    const fits = `${'d'.repeat(100)}/${'f'.repeat(90)}`;
    const tooLong = 'f'.repeat(120);
    const bytes = await collect(tarChunks([textEntry(fits, '1'), textEntry(tooLong, '2')]));
    expect(bytes.byteLength).toBe(512 * (2 + 4 + 2));
    expect([...(await readAll(bytes)).keys()]).toEqual([fits, tooLong]);
  });

  it('writes sizes from 8 GiB on as PAX', async () => {
    const size = 8 ** 11;
    const chunk = new Uint8Array(2 ** 20);
    const big = {
      path: 'big',
      size,
      *chunks() {
        for (let at = 0; at < size; at += chunk.byteLength) yield chunk;
      },
    };
    const limits = { maxFileBytes: size, maxTotalBytes: size };
    for await (const file of readTar('t', tarChunks([big]), limits)) {
      expect(file).toMatchObject({ path: 'big', size });
      break;
    }
    const header = await tarChunks([big]).next();
    expect(new TextDecoder().decode((header.value ?? new Uint8Array(0)).subarray(0, 9))).toBe('PaxHeader');
  });

  it('stops when a file has another length than it said', async () => {
    const liar = { path: 'x', size: 3, chunks: () => [new Uint8Array(2)] };
    expect(await codeOf(() => collect(tarChunks([liar])))).toBe('INTERNAL');
  });
});
