import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { build } from 'vite';
import { openFolderBackend } from './folder-backend.ts';
import { inspectStore, KillLedger } from './testing-kill.ts';

/** The long form sets this; the state goes on from one kill to the next. */
const KILLS = Number(process.env['LORIKEET_KILLS'] ?? 30);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-kill-'));
  await build({
    configFile: false,
    logLevel: 'error',
    publicDir: false,
    ssr: { noExternal: true },
    build: {
      ssr: fileURLToPath(new URL('./testing-kill-child.ts', import.meta.url)),
      outDir: join(folder, 'child'),
      target: 'node20',
      rollupOptions: { output: { entryFileNames: 'main.mjs' } },
    },
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs the program until it is killed; gives what it reported, and how it ended. */
function runUntilKilled(args: string[], afterMs: number | null): Promise<{ lines: string[]; end: string }> {
  const child = spawn(process.execPath, [join(folder, 'child', 'main.mjs'), ...args]);
  let output = '';
  let errors = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  const timer = afterMs === null ? null : setTimeout(() => child.kill('SIGKILL'), afterMs);
  return new Promise((resolve) => {
    child.once('close', (_code, signal) => {
      if (timer !== null) clearTimeout(timer);
      // A line that was cut was not reported.
      const lines = output.split('\n').slice(0, -1);
      resolve({ lines, end: signal ?? errors });
    });
  });
}

it(
  `120: loses nothing and shows nothing half over ${String(KILLS)} kills in the middle of its work`,
  async () => {
    const dir = join(folder, 'store');
    const home = { backend: () => openFolderBackend(dir) };
    const ledger = new KillLedger();
    let cutSaves = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      const how = ['before', 'half', 'after', 'timer'][kill % 4] ?? '';
      const killAt = how === 'timer' ? 1e9 : 1 + Math.floor(Math.random() * 700);
      const afterMs = how === 'timer' ? 300 + Math.random() * 1200 : null;
      const args = [dir, String(kill), String(killAt), how];
      const { lines, end } = await runUntilKilled(args, afterMs);
      expect(end).toBe('SIGKILL');
      for (const line of lines) ledger.note(line);
      const found = await inspectStore(home);
      cutSaves += found.unfinished;
      expect({ kill, args, wrong: ledger.judge(found) }).toEqual({ kill, args, wrong: [] });
      for (const left of ['tmp', 'journal', 'locks']) expect(await readdir(join(dir, left))).toEqual([]);
    }
    console.log(
      `${String(KILLS)} kills: ${String(ledger.saved)} saved, ${String(ledger.deleted)} deleted, ${String(cutSaves)} saves cut`,
    );
    expect(ledger.saved).toBeGreaterThan(KILLS);
    expect(cutSaves).toBeGreaterThan(0);
  },
  KILLS * 20_000,
);
