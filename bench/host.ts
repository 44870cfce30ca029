/** What the benchmark needs of Node: Dawn, files and the machine. The one file here with Node built-ins. */
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { create, globals } from 'webgpu';
import { describeAdapter, requestEngineDevice } from '../src/engine/index.ts';

Object.assign(globalThis, globals);

/** Kept reachable: when Dawn's GPU object is collected, later calls crash the process (engine.md section 12). */
const gpu = create([]);

/** Opens the device that the environment's driver gives. */
export async function openDevice(): Promise<{ device: GPUDevice; adapter: string }> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('There is no WebGPU adapter.');
  return { device: await requestEngineDevice(adapter), adapter: describeAdapter(adapter).name };
}

/** What the figures depend on besides the adapter. */
export function machine(): { cpu: string; cores: number; node: string; load: number } {
  const all = cpus();
  const load = loadavg()[0] ?? 0;
  return { cpu: all[0]?.model ?? 'unknown', cores: all.length, node: process.version, load };
}

export function writeText(path: string, text: string): Promise<void> {
  return writeFile(path, text);
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
