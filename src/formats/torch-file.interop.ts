/**
 * Files by the real torch.save (tools/check_torch.py), numbered as in the list of hostile inputs (section E): good ones
 * give the same tensors here, hostile ones are refused and nothing in them runs.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesSource } from './bytes.ts';
import { sha256Hex } from './sha256.ts';
import { python } from './testing-other-tar.ts';
import { codeOf } from './testing.ts';
import { openTorchTensors } from './torch-file.ts';

interface Case {
  file: string;
  name: string;
  tensors: Record<string, { dtype: string; shape: number[]; sha256: string }> | null;
}

let work = '';
let cases: Case[] = [];
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-torch-'));
  cases = JSON.parse(await python('check_torch.py', [work])) as Case[];
});
afterAll(() => rm(work, { recursive: true, force: true }));

async function tensorsOf(file: string): Promise<Case['tensors']> {
  const source = bytesSource(file, new Uint8Array(await readFile(join(work, file))));
  const tensors = await openTorchTensors(source);
  const read: NonNullable<Case['tensors']> = {};
  for (const { name, dtype, shape } of tensors.list()) {
    read[name] = { dtype, shape: [...shape], sha256: sha256Hex(await tensors.read(name)) };
  }
  return read;
}

test('0: good files give the tensors that they were made of', async () => {
  const good = cases.filter(({ tensors }) => tensors !== null);
  expect(good.length).toBeGreaterThan(5);
  for (const { file, name, tensors } of good) {
    expect({ name, tensors: await tensorsOf(file) }).toEqual({ name, tensors });
  }
});

test.each([93, 94, 95, 97, 99, 100, 101, 102, 103, 104])(
  '%i: hostile files are refused, and nothing in them runs',
  async (number) => {
    const hostile = cases.filter(({ name }) => name.startsWith(`${String(number)} `));
    expect(hostile.length).toBeGreaterThan(0);
    for (const { file, name } of hostile) {
      expect({ name, code: await codeOf(() => tensorsOf(file)) }).toEqual({
        name,
        code: 'TORCH_FILE_INVALID',
      });
    }
    expect(await readdir(work)).not.toContain('executed');
  },
);
