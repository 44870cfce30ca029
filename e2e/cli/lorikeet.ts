/** Runs the command line as people do, and looks at what it left behind. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unpackTar } from 'modern-tar';
import { afterAll, expect } from 'vitest';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const PIRATE = join(ROOT, 'public/datasets/pirate.jsonl');
export const TINY = join(ROOT, 'public/models/lorikeet-tiny');

/** Where runs are kept that no test looks at. */
const STORE = mkdtempSync(join(tmpdir(), 'lorikeet-store-'));
afterAll(() => rmSync(STORE, { recursive: true, force: true }));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** What a shell does first in the program's process, such as `ulimit -f 1`. */
  shell?: string;
  /** Called with all of stderr so far; what it gives, now or later, is sent to the program. */
  onStderr?: (stderr: string) => NodeJS.Signals | undefined | Promise<NodeJS.Signals | undefined>;
}

/** Runs `lorikeet` with these arguments to its end. */
export function lorikeet(
  args: readonly string[],
  { env, cwd, shell, onStderr }: RunOptions = {},
): Promise<Outcome> {
  const program = [process.execPath, join(ROOT, 'bin/lorikeet.mjs'), ...args];
  const [command = '', ...rest] =
    shell === undefined ? program : ['bash', '-c', `${shell} && exec "$0" "$@"`, ...program];
  const child = spawn(command, rest, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, LORIKEET_STORE: STORE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (outcome.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    outcome.stderr += text;
    void Promise.resolve(onStderr?.(outcome.stderr)).then((signal) => signal && child.kill(signal));
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...outcome, code }));
  });
}

/** Runs a command that must succeed. */
export async function ran(args: readonly string[]): Promise<Outcome> {
  const outcome = await lorikeet(args);
  expect(outcome.code, outcome.stderr).toBe(0);
  return outcome;
}

/** Runs a command that must succeed; gives its stdout. */
export async function succeed(...args: string[]): Promise<string> {
  return (await ran(args)).stdout;
}

/** Runs a command with `--json` that must succeed; gives what it printed. */
export async function json<T>(...args: string[]): Promise<T> {
  const stdout = await succeed(...args, '--json');
  expect(stdout.trim().split('\n')).toHaveLength(1);
  return JSON.parse(stdout) as T;
}

/** The one error line on stderr, taken apart. */
export function errorOf({ stderr }: Outcome): { code: string; text: string } {
  const lines = stderr.split('\n').filter((line) => line.startsWith('lorikeet: '));
  expect(lines, stderr).toHaveLength(1);
  const [, code = '', text = ''] = /^lorikeet: ([A-Z_]+): (.+ .+\.)$/.exec(lines[0] ?? '') ?? [];
  return { code, text };
}

/** A folder of the test file, removed at its end. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The first rows of the pirate data in a file of their own. */
export function someRows(folder: string, rows: number, from = 0): string {
  const path = join(folder, `rows-${from}-${rows}.jsonl`);
  if (!existsSync(path)) {
    const lines = readFileSync(PIRATE, 'utf8').split('\n');
    writeFileSync(path, lines.slice(from, from + rows).join('\n'));
  }
  return path;
}

/** Every file of an archive by its path, in order. */
export async function unpack(path: string): Promise<Map<string, Uint8Array>> {
  const stream = new Blob([readFileSync(path)]).stream().pipeThrough(new DecompressionStream('gzip'));
  const entries = await unpackTar(stream);
  return new Map(entries.map(({ header, data }) => [header.name, data ?? new Uint8Array(0)]));
}

/** What a run may not leave at `--out`: nothing at all, also no half-written file beside it. */
export function expectNothingAt(folder: string): void {
  expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
}

/** Sends a signal when stderr says this, once. */
export function once(text: string, signal: NodeJS.Signals): NonNullable<RunOptions['onStderr']> {
  let sent = false;
  return (stderr) => {
    if (sent || !stderr.includes(text)) return undefined;
    sent = true;
    return signal;
  };
}
