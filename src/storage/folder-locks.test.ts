import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { codeOf } from '../formats/testing.ts';
import type { LockRequest } from './backend.ts';
import { folderLocks } from './folder-locks.ts';
import { startOf } from './folder-process.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lorikeet-locks-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const now = { mode: 'exclusive', wait: false } as const;

it('gives a lock to one at a time, in turn, and to readers together', async () => {
  const locks = folderLocks(dir);
  const inside = { exclusive: 0, shared: 0 };
  let most = 0;
  const use = async (mode: LockRequest['mode']) => {
    const { lock } = await folderLocks(dir).acquire('gc', { mode, wait: true });
    inside[mode] += 1;
    most = Math.max(most, inside.shared);
    expect(inside.exclusive).toBe(mode === 'exclusive' ? 1 : 0);
    expect(inside.exclusive === 0 || inside.shared === 0).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 2));
    inside[mode] -= 1;
    await lock?.release();
  };
  await Promise.all(Array.from({ length: 40 }, (_, i) => use(i % 5 === 0 ? 'exclusive' : 'shared')));
  expect(most).toBeGreaterThan(1);
  const { lock } = await locks.acquire('gc', now);
  expect(lock?.held()).toBe(true);
  expect((await locks.acquire('another', now)).lock).not.toBeNull();
  expect(await locks.acquire('gc', now)).toEqual({ lock: null, holder: 'this program' });
  await lock?.release();
  expect(lock?.held()).toBe(false);
  expect((await locks.acquire('gc', now)).lock).not.toBeNull();
});

it('stops waiting when it is told to, and keeps no place in the line', async () => {
  const locks = folderLocks(dir);
  const { lock } = await locks.acquire('gc', now);
  const stop = new AbortController();
  const waiting = codeOf(() => locks.acquire('gc', { ...now, wait: true, signal: stop.signal }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop.abort();
  expect(await waiting).toBe('CANCELLED');
  await lock?.release();
  expect(await readdir(dir)).toEqual([]);
});

/** Makes another process hold a lock: it keeps the file that we took a name for. */
async function heldBy(pid: number, start: string): Promise<void> {
  const { lock } = await folderLocks(dir).acquire('gc', now);
  const [name = ''] = await readdir(dir);
  await lock?.release();
  const parts = name.split('~');
  parts.splice(3, 2, String(pid), start);
  await writeFile(join(dir, parts.join('~')), '');
}

it('breaks the lock of a process that is gone, also when its number lives on, and no other', async () => {
  const locks = folderLocks(dir);
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
  const pid = child.pid ?? 0;
  const start = startOf(pid);
  expect(start).not.toBe('');
  await heldBy(pid, start);
  expect(await locks.acquire('gc', now)).toEqual({
    lock: null,
    holder: `another program (process ${String(pid)})`,
  });
  // The same number, but started at another time.
  await rm(join(dir, (await readdir(dir))[0] ?? ''));
  await heldBy(pid, '000000000000');
  const { lock } = await locks.acquire('gc', now);
  expect(lock).not.toBeNull();
  await lock?.release();
  await heldBy(pid, start);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  expect(startOf(pid)).toBe('');
  expect((await locks.acquire('gc', now)).lock).not.toBeNull();
  expect(await readdir(dir)).toHaveLength(1);
});

it('does not judge processes of another machine, and says what to do about them', async () => {
  await heldBy(1, '000000000000');
  const [file = ''] = await readdir(dir);
  const parts = file.split('~');
  parts.splice(5, 2, 'ffffffffffff', 'far-away');
  await rm(join(dir, file));
  await writeFile(join(dir, parts.join('~')), '');
  const answer = await folderLocks(dir).acquire('gc', now);
  expect(answer).toEqual({
    lock: null,
    holder: `process 1 on far-away (if it no longer runs, remove ${join(dir, parts.join('~'))})`,
  });
});

it('waits no longer than a moment for one that was stopped while it chose its number', async () => {
  const { lock } = await folderLocks(dir).acquire('gc', now);
  const [file = ''] = await readdir(dir);
  await lock?.release();
  const parts = file.split('~');
  parts[2] = 'choosing';
  parts[7] = 'another';
  await writeFile(join(dir, parts.join('~')), '');
  const start = performance.now();
  expect((await folderLocks(dir).acquire('gc', now)).lock).toBeNull();
  expect(performance.now() - start).toBeLessThan(20_000);
});
