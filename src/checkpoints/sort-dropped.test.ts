import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_DROPPED_FILES, sortDropped, type DroppedItem } from './sort-dropped.ts';

const text = (content: string) => new TextEncoder().encode(content);
const file = (path: string, more: Partial<Extract<DroppedItem, { kind: 'file' }>> = {}): DroppedItem => ({
  kind: 'file',
  path,
  size: 10,
  ...more,
});
const GZIP = Uint8Array.of(0x1f, 0x8b, 8, 0);
const ZIP = Uint8Array.of(0x50, 0x4b, 3, 4);
const tarHead = () => {
  const head = new Uint8Array(512);
  head.set(text('ustar'), 257);
  return head;
};
const reasonFor = (items: readonly DroppedItem[], name: string) =>
  sortDropped(items).left.find((entry) => entry.name === name)?.reason;

describe('141: what is dropped is accepted or named', () => {
  test('a folder with 100,000 files is named once, at once, and the rest of the drop is taken', () => {
    const many = Array.from({ length: 100_000 }, (_, i) =>
      file(`/home/d${String(i % 300)}/f${String(i)}.txt`),
    );
    const start = performance.now();
    const { inputs, left } = sortDropped([...many, file('a.tar.gz')]);
    expect(inputs).toEqual([{ kind: 'file', name: 'a.tar.gz', paths: ['a.tar.gz'] }]);
    expect(left).toHaveLength(1);
    expect(left[0]).toMatchObject({ name: 'home' });
    expect(left[0]?.reason).toContain(String(MAX_DROPPED_FILES));
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test('archives within a folder are named; a folder of nothing but archives is taken apart', () => {
    const mixed = sortDropped([file('m/adapter_config.json'), file('m/old.tar.gz'), file('m/x.zip')]);
    expect(mixed.inputs).toEqual([{ kind: 'folder', name: 'm', paths: ['m/adapter_config.json'] }]);
    expect(mixed.left.map(({ name }) => name)).toEqual(['m/old.tar.gz', 'm/x.zip']);
    const archives = sortDropped([file('d/a.tar.gz', { head: GZIP }), file('d/b.tar'), file('d/c.zip')]);
    expect(archives.inputs.map(({ name }) => name)).toEqual(['a.tar.gz', 'b.tar']);
    expect(archives.left.map(({ name }) => name)).toEqual(['d/c.zip']);
  });

  test('files of 0 bytes are named, but for the mark that is one', () => {
    const { inputs, left } = sortDropped([
      file('t/adapter_config.json'),
      file('t/checkpoint_complete', { size: 0 }),
      file('t/notes.txt', { size: 0 }),
    ]);
    expect(inputs[0]?.paths).toEqual(['t/adapter_config.json', 't/checkpoint_complete']);
    expect(left).toEqual([{ name: 't/notes.txt', reason: 'It is empty.' }]);
    expect(reasonFor([file('rows.jsonl', { size: 0 })], 'rows.jsonl')).toBe('It is empty.');
  });

  test('a folder named adapter_config.json is named, and what lies in it', () => {
    const items: DroppedItem[] = [
      { kind: 'folder', path: '/a' },
      { kind: 'folder', path: '/a/adapter_config.json' },
      file('/a/adapter_config.json/x.txt'),
      file('/a/adapter_model.safetensors'),
    ];
    const { inputs, left } = sortDropped(items);
    expect(inputs).toEqual([{ kind: 'folder', name: 'a', paths: ['a/adapter_model.safetensors'] }]);
    expect(left.map(({ name }) => name).sort()).toEqual([
      'a/adapter_config.json',
      'a/adapter_config.json/x.txt',
    ]);
  });

  test.each<[string, DroppedItem, string, RegExp]>([
    [
      'a file that cannot be read',
      file('a.tar.gz', { unreadable: 'NotReadableError' }),
      'a.tar.gz',
      /NotReadable/,
    ],
    [
      'an address',
      { kind: 'text', text: 'https://example.org/a.tar.gz' },
      '"https://example.org/a.tar.gz"',
      /address/,
    ],
    ['a text', { kind: 'text', text: 'hello' }, '"hello"', /text/],
    ['an empty text', { kind: 'text', text: ' ' }, 'A text', /text/],
    ['a zip file', file('a.zip', { head: ZIP }), 'a.zip', /zip file/],
    ['a zip file that was not looked into', file('a.zip'), 'a.zip', /tar\.gz/],
    ['a zip file under another name', file('a.tar.gz', { head: ZIP }), 'a.tar.gz', /zip file/],
    ['a page of an error', file('a.tar.gz', { head: text('<!doctype html>') }), 'a.tar.gz', /web page/],
    [
      'a page in place of weights',
      file('adapter_model.safetensors', { head: text('<html>') }),
      'adapter_model.safetensors',
      /web page/,
    ],
    ['bytes without a form', file('a.tar', { head: Uint8Array.of(1, 2, 3) }), 'a.tar', /no archive/],
    ['a picture', file('photo.png'), 'photo.png', /such a name/],
    ['an empty folder', { kind: 'folder', path: '/empty' }, 'empty', /empty folder/],
    ['a hidden file', file('x/.DS_Store'), 'x/.DS_Store', /Hidden/],
  ])('%s', (_, item, name, reason) => {
    const { inputs, left } = sortDropped([item]);
    expect(inputs).toEqual([]);
    expect(left).toHaveLength(1);
    expect(left[0]?.name).toBe(name);
    expect(left[0]?.reason).toMatch(reason);
  });

  test('the content decides where it was looked at: a tar without gzip, an archive under any name', () => {
    const items = [
      file('a.tar.gz', { head: tarHead() }),
      file('b.dat', { head: GZIP }),
      file('c.bin', { head: GZIP }),
    ];
    expect(sortDropped(items)).toMatchObject({ inputs: items.map(() => ({ kind: 'file' })), left: [] });
  });

  test('the same file twice is taken once and named, and so is another one of its name', () => {
    const once = file('rows.csv', { modified: 5 });
    expect(sortDropped([once, once])).toEqual({
      inputs: [{ kind: 'file', name: 'rows.csv', paths: ['rows.csv'] }],
      left: [{ name: 'rows.csv', reason: 'It was dropped twice.' }],
    });
    expect(reasonFor([once, file('rows.csv', { size: 11 })], 'rows.csv')).toMatch(/Another file/);
  });

  test('loose files of an adapter belong together; PyTorch’s are zip files by nature', () => {
    const { inputs } = sortDropped([
      file('adapter_config.json'),
      file('adapter_model.bin', { head: ZIP }),
      file('rows.jsonl'),
    ]);
    expect(inputs).toEqual([
      { kind: 'file', name: 'rows.jsonl', paths: ['rows.jsonl'] },
      { kind: 'folder', name: '2 files', paths: ['adapter_config.json', 'adapter_model.bin'] },
    ]);
  });

  test('whatever is dropped, every item is in one place', () => {
    const segment = fc.constantFrom(
      'a',
      'b',
      '.git',
      'adapter_config.json',
      'x.tar.gz',
      'y.zip',
      'rows.csv',
      'p.png',
    );
    const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    const head = fc.constantFrom(undefined, GZIP, ZIP, tarHead(), text('<html>'), text('plain'));
    const item = fc.oneof(
      fc.record({ path, size: fc.nat(2), head }).map(({ head: first, ...rest }): DroppedItem => ({
        kind: 'file',
        ...rest,
        ...(first === undefined ? {} : { head: first }),
      })),
      path.map((at): DroppedItem => ({ kind: 'folder', path: at })),
      fc.string().map((given): DroppedItem => ({ kind: 'text', text: given })),
    );
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), (items) => {
        const { inputs, left } = sortDropped(items);
        const taken = inputs.flatMap(({ paths }) => paths);
        const named = left.map(({ name }) => name);
        const files = items.filter((given) => given.kind === 'file');
        expect(new Set(taken).size).toBe(taken.length);
        for (const given of files) expect([...taken, ...named]).toContain(given.path);
        // Files that are there several times are named once for each time but the first.
        const texts = items.filter(({ kind }) => kind === 'text').length;
        const folders = named.filter((name) =>
          items.some((given) => given.kind === 'folder' && given.path === name),
        );
        expect(taken.length + named.length).toBeLessThanOrEqual(files.length + texts + folders.length);
        for (const given of items) {
          if (given.kind !== 'folder') continue;
          const below = [...taken, ...named].some(
            (name) => name === given.path || name.startsWith(`${given.path}/`),
          );
          expect(below, given.path).toBe(true);
        }
      }),
    );
  });
});
