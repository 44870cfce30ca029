/** What the benchmark needs of Node: Dawn, files, programs and the machine. The one file here with Node built-ins. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, globals } from 'webgpu';
import { describeAdapter, requestEngineDevice } from '../src/engine/index.ts';
import type { FileSet } from '../src/formats/file-set.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import { openFolderBackend } from '../src/storage/folder-backend.ts';
import { folderFileSet } from '../src/storage/node-fs.ts';
import { openCheckpointStore } from '../src/storage/open-store.ts';

Object.assign(globalThis, globals);

/** Kept reachable: when Dawn's GPU object is collected, later calls crash the process (engine.md section 12). */
const gpu = create([]);

/** The folder of the project: the benchmark is built into dist/bench. */
const ROOT = new URL('../../', import.meta.url);

/** A path below the project's folder. */
export function projectPath(path: string): string {
  return fileURLToPath(new URL(path, ROOT));
}

/** Opens the device that the environment's driver gives. */
export async function openDevice(): Promise<{ device: GPUDevice; adapter: string; software: boolean }> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('There is no WebGPU adapter.');
  const { name, software } = describeAdapter(adapter);
  return { device: await requestEngineDevice(adapter), adapter: name, software };
}

/** What the figures depend on besides the adapter. */
export function machine(): { cpu: string; cores: number; node: string; load: number } {
  const all = cpus();
  const load = loadavg()[0] ?? 0;
  return { cpu: all[0]?.model ?? 'unknown', cores: all.length, node: process.version, load };
}

/** CPU milliseconds of all threads of this process. */
export function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export function openFolder(path: string): Promise<FileSet> {
  return folderFileSet(path);
}

export function exists(path: string): boolean {
  return existsSync(path);
}

export function makeFolder(path: string): Promise<unknown> {
  return mkdir(path, { recursive: true });
}

export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return Uint8Array.from(await readFile(path));
}

export function writeText(path: string, text: string): Promise<void> {
  return writeFile(path, text);
}

/** Runs a program and gives what it printed. Throws with its last words when it fails or takes longer than `seconds`. */
export function runProgram(
  command: string,
  args: readonly string[],
  { cwd, env, seconds }: { cwd: string; env?: Record<string, string>; seconds: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, timeout: seconds * 1000 });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => (out += String(chunk)));
    child.stderr.on('data', (chunk) => (err += String(chunk)));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve(out);
      else reject(new Error(`${command} ended with ${status ?? signal}: ${(out + err).trim().slice(-400)}`));
    });
  });
}

/** The program that runs this one, for scripts in other processes. */
export function nodeProgram(): string {
  return process.execPath;
}

export function environment(name: string): string | undefined {
  return process.env[name];
}

export function commandLine(): string[] {
  return process.argv.slice(2);
}

/** Prints a line; a benchmark talks to its terminal. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Ends the program; Dawn's object is named once more so that it lives until here. */
export function leave(status: number): never {
  void gpu.wgslLanguageFeatures;
  process.exit(status);
}

/** A store of checkpoints in a folder of its own, which goes with `remove`. */
export async function temporaryStore(): Promise<{ store: CheckpointStore; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'lorikeet-bench-'));
  const store = await openCheckpointStore(await openFolderBackend(folder));
  const remove = async (): Promise<void> => {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { store, remove };
}

/** Bytes of the process in memory. */
export function residentBytes(): number {
  return process.memoryUsage().rss;
}

export function readText(path: string): Promise<string> {
  return readFile(path, 'utf8');
}
