/** The peers' own scripts (../shared/peers), each in its own process on the same adapter. */
import { environment, exists, makeFolder, nodeProgram, projectPath, runProgram } from './host.ts';

const SCRIPTS = projectPath('../shared/peers');
const WORK = projectPath('.cache/peers');
const PACKAGES = [
  '@jax-js/jax@0.1.25',
  '@tensorflow/tfjs@4.22.0',
  '@tensorflow/tfjs-backend-webgpu@4.22.0',
  'webgpu@0.6.2',
];
/** The first step of jax-js compiles for a minute and more on a software adapter. */
const SECONDS = 600;

export type PeerName = 'jax' | 'tfjs';
/** Frozen weights as [out, in] or [in, out]: each library's better one counts. */
export type Layout = 'oi' | 'io';

/** What a script prints. */
export interface PeerRun {
  peer: string;
  version: string;
  rel_loss_steps: number[];
  all_ms: number[];
  peak_bytes: number;
}

/** Where the exported workload lies. */
export const WORKLOAD_FOLDER = `${WORK}/data`;

function python(): string | null {
  const named = environment('LORIKEET_PYTHON') ?? projectPath('.venv/bin/python');
  return exists(named) ? named : null;
}

/** Installs the packages and exports the workload where they are missing; else gives the reason why it cannot. */
export async function preparePeers(print: (text: string) => void): Promise<string | null> {
  if (!exists(SCRIPTS)) return `${SCRIPTS} is not there`;
  const interpreter = python();
  if (interpreter === null)
    return 'there is no Python with PyTorch, transformers and peft (LORIKEET_PYTHON or .venv)';
  await makeFolder(WORKLOAD_FOLDER);
  if (!exists(`${WORK}/node_modules/@jax-js/jax`)) {
    print('Installing the peers ...');
    const npm = ['install', '--prefix', WORK, '--no-audit', '--no-fund', '--ignore-scripts', ...PACKAGES];
    await runProgram('npm', npm, { cwd: WORK, seconds: SECONDS });
  }
  if (!exists(`${WORKLOAD_FOLDER}/manifest.json`)) {
    print("Exporting the peers' weights from PyTorch ...");
    await runPython(['export', 'data']);
  }
  return null;
}

function runPython(args: readonly string[]): Promise<string> {
  const script = ['-W', 'ignore', `${SCRIPTS}/torch_peer.py`, ...args];
  return runProgram(python() ?? 'python3', script, { cwd: WORK, seconds: SECONDS });
}

/** Runs a JavaScript peer for some timed steps. Throws when it fails, or when its losses are wrong. */
export async function runPeer(
  name: PeerName,
  layout: Layout,
  tokens: number,
  steps: number,
): Promise<PeerRun> {
  const env = { PEERS_WORK: WORK, LAYOUT: layout, QUICK: '1', MESA_SHADER_CACHE_DIR: `${WORK}/shader-cache` };
  const args = [`${SCRIPTS}/${name}_peer.mjs`, String(tokens), String(steps)];
  return lastLine(await runProgram(nodeProgram(), args, { cwd: WORK, env, seconds: SECONDS })) as PeerRun;
}

/** PyTorch with PEFT on the CPU. */
export async function runTorch(
  tokens: number,
  steps: number,
): Promise<{ version: string; all_ms: number[] }> {
  return lastLine(await runPython(['bench', 'data', String(tokens), String(steps)])) as {
    version: string;
    all_ms: number[];
  };
}

function lastLine(output: string): unknown {
  const line = output
    .split('\n')
    .filter((text) => text.startsWith('{'))
    .at(-1);
  if (line === undefined) throw new Error('A peer printed no result.');
  return JSON.parse(line);
}
