/**
 * Safetensors against the upstream library (tools/check_safetensors.py): the same verdict on every broken file but for
 * rules of ours that are stricter on purpose, and the same tensors in every file that both read.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { StudioError } from '../errors.ts';
import { bytesSource } from './bytes.ts';
import { sortedJson } from './peft-write.ts';
import { openSafetensors } from './safetensors-read.ts';
import { sha256Hex } from './sha256.ts';
import { safetensorsCorpus, safetensorsFile } from './testing-safetensors-corpus.ts';

const run = promisify(execFile);
let work = '';
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-safetensors-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

interface Verdict {
  ok: boolean;
  error?: string;
  tensors?: Record<string, { dtype: string; shape: number[]; sha256: string }>;
  metadata?: Record<string, string> | null;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** What the library makes of these files, one verdict each. */
async function upstream(files: readonly Bytes[]): Promise<Verdict[]> {
  const python = process.env['LORIKEET_PYTHON'];
  if (python === undefined) throw new Error('LORIKEET_PYTHON is not set; npm test sets it.');
  const dir = await mkdtemp(join(work, 'files-'));
  const paths = files.map((_, i) => join(dir, `${String(i)}.safetensors`));
  for (const [i, path] of paths.entries()) await writeFile(path, files[i] ?? new Uint8Array(0));
  const script = new URL('../../tools/check_safetensors.py', import.meta.url).pathname;
  const { stdout } = await run(python, [script, ...paths], { maxBuffer: 2 ** 28 });
  const verdicts = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Verdict);
  expect(verdicts).toHaveLength(files.length);
  return verdicts;
}

/** Our verdict in the same form; the error is its message. */
async function ours(bytes: Bytes): Promise<Verdict> {
  const tensors: NonNullable<Verdict['tensors']> = {};
  try {
    const file = await openSafetensors(bytesSource('t.safetensors', bytes));
    for (const { name, dtype, shape } of file.list()) {
      tensors[name] = { dtype, shape: [...shape], sha256: sha256Hex(await file.read(name)) };
    }
    return { ok: true, tensors, metadata: { ...file.metadata } };
  } catch (error) {
    if (error instanceof StudioError) return { ok: false, error: error.message };
    throw error;
  }
}

test('the corpus gets the verdict of the library, or the stricter one that it lists', async () => {
  const corpus = safetensorsCorpus();
  const verdicts = await upstream(corpus.map(({ bytes }) => bytes));
  for (const [i, c] of corpus.entries()) {
    const label = `${String(c.number)} ${c.name}: ${verdicts[i]?.error ?? ''}`;
    expect({ label, ok: verdicts[i]?.ok }).toEqual({ label, ok: c.upstream });
    expect({ label, ok: (await ours(c.bytes)).ok }).toEqual({ label, ok: c.accepted });
  }
  // Never the other way round: what the library refuses is refused here.
  expect(corpus.filter(({ accepted, upstream: theirs }) => accepted && !theirs)).toEqual([]);
});

/** Our rules that the format does not have, by their messages. Each has a file in the corpus that the library reads. */
const STRICTER = [
  /the header's length \d+ is not a multiple of 8/,
  /has the unknown field/,
  // The library keeps the last of two metadata of one name.
  /the key "a" occurs twice/,
  /has \d+ dimensions/,
  /holds characters that cannot be shown/,
  /cannot be a tensor name/,
  /has an empty name/,
  /differ only in how their accents are written/,
];

/** What can be odd about a file; as text where JSON itself can go wrong. */
interface Oddities {
  names: readonly string[];
  /** Instead of the dtype of the last tensor. */
  dtype?: string;
  /** Added to the end of the last tensor. */
  shift: number;
  /** Instead of the start of the last tensor. */
  start?: string;
  metadata: string;
  /** Behind the members of the last tensor. */
  extra: string;
  around: readonly [string, string];
  /** Bytes more or less than the tensors have. */
  data: number;
  pad: boolean;
  swap: boolean;
}

const SOUND: Oddities = {
  names: ['a', 'b', 'c'],
  shift: 0,
  metadata: '',
  extra: '',
  around: ['', ''],
  data: 0,
  pad: true,
  swap: false,
};

const starts = [
  '1e0',
  '1.0',
  '0.0',
  '-0',
  '-1',
  '01',
  '"1"',
  'null',
  '18446744073709551616',
  '0x1',
  '[0]',
  '0',
];
const faults: Partial<Oddities>[] = [
  ...[
    ['b', 'a', 'a'],
    ['a', 'a', 'a'],
    ['\u00e9', 'e\u0301', 'x'],
    ['constructor', 'x', ''],
    ['\u0001', '', 'x'],
  ].map((names) => ({ names })),
  ...['f32', 'X', 'F4', '', 'F64'].map((dtype) => ({ dtype })),
  ...[1, -1, 8].flatMap((by) => [{ shift: by }, { data: by }]),
  ...starts.map((start) => ({ start })),
  ...['{"a":1}', 'null', '[]', '{"a":"b","a":"c"}', '"x"', '{}', '{"\u00fc":"\\n"}'].map((metadata) => ({
    metadata,
  })),
  ...[',"more":1', ',"dtype":"F32"', ',"shape":[1]', ',', ' '].map((extra) => ({ extra })),
  ...(
    [
      [' ', '\n'],
      ['\t', ''],
      ['\ufeff', ''],
      ['', ','],
      ['[', ']'],
      ['', '}'],
      ['', '\0'],
      ['\u00a0', ''],
    ] as const
  ).map((around) => ({ around })),
  { pad: false },
  { swap: true },
];

/** A file of one to three tensors with up to two faults. */
const oddFile = fc
  .record({
    dtypes: fc.array(fc.constantFrom('F32', 'BF16', 'I64', 'U8', 'BOOL', 'F8_E4M3'), {
      minLength: 1,
      maxLength: 3,
    }),
    dims: fc.array(fc.constantFrom([2], [1, 3], [], [0], [2, 0, 4]), { minLength: 3, maxLength: 3 }),
    odd: fc.array(fc.constantFrom(...faults), { maxLength: 2 }),
  })
  .map(({ dtypes, dims, odd }) => {
    const file = odd.reduce<Oddities>((all, one) => ({ ...all, ...one }), SOUND);
    const bytesOf: Record<string, number> = { F32: 4, BF16: 2, I64: 8 };
    let at = 0;
    const entries = dtypes.map((dtype, i) => {
      const shape = dims[i] ?? [];
      const from = at;
      at += shape.reduce((product, dim) => product * dim, bytesOf[dtype] ?? 1);
      const last = i === dtypes.length - 1;
      const name = JSON.stringify(file.names[i]);
      const kind = (last ? file.dtype : undefined) ?? dtype;
      const start = (last ? file.start : undefined) ?? String(from);
      const end = String(at + (last ? file.shift : 0));
      const extra = last ? file.extra : '';
      return `${name}:{"dtype":"${kind}","shape":${JSON.stringify(shape)},"data_offsets":[${start},${end}]${extra}}`;
    });
    if (file.swap) entries.reverse();
    if (file.metadata !== '') entries.unshift(`"__metadata__":${file.metadata}`);
    const [before, after] = file.around;
    const data = Uint8Array.from({ length: Math.max(0, at + file.data) }, (_, i) => i % 2);
    return safetensorsFile(`${before}{${entries.join(',')}}${after}`, data, { pad: file.pad });
  });

type Outcome = 'both read it' | 'both refuse it' | 'only the library reads it' | 'they differ';

function compare(own: Verdict, theirs: Verdict | undefined): Outcome {
  if (!own.ok) {
    if (theirs?.ok !== true) return 'both refuse it';
    return STRICTER.some((rule) => rule.test(own.error ?? '')) ? 'only the library reads it' : 'they differ';
  }
  // None, for the library, where there are no metadata.
  const plain = ({ tensors, metadata }: Verdict) =>
    JSON.parse(sortedJson({ tensors, metadata: metadata ?? {} })) as object;
  const same = theirs?.ok === true && isDeepStrictEqual(plain(own), plain(theirs));
  return same ? 'both read it' : 'they differ';
}

test('files made at random are read as the library reads them, or refused by a stricter rule', async () => {
  const files = fc.sample(oddFile, 3000);
  const verdicts = await upstream(files);
  const counts: Record<Outcome, number> = {
    'both read it': 0,
    'both refuse it': 0,
    'only the library reads it': 0,
    'they differ': 0,
  };
  const differences: object[] = [];
  for (const [i, bytes] of files.entries()) {
    const own = await ours(bytes);
    const outcome = compare(own, verdicts[i]);
    counts[outcome] += 1;
    if (outcome !== 'they differ') continue;
    differences.push({ file: new TextDecoder().decode(bytes.subarray(8)), own, theirs: verdicts[i] });
  }
  console.log(JSON.stringify(counts));
  expect(differences.slice(0, 3)).toEqual([]);
  expect(counts['both read it']).toBeGreaterThan(50);
  expect(counts['both refuse it']).toBeGreaterThan(50);
  expect(counts['only the library reads it']).toBeGreaterThan(50);
});
