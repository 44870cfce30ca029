// npm run test:remote: the clients against a real SkyRL server on this machine's CPU, installed from PyPI into .cache.
// LORIKEET_REMOTE_URL names a server that runs already; LORIKEET_REMOTE_MODEL the folder of the model it serves.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensurePackages } from './lib/install.mjs';
import { CACHE, ROOT } from './lib/paths.mjs';
import { capture, run, runNode } from './lib/run.mjs';

const VERSION = process.env['LORIKEET_SKYRL_VERSION'] ?? '0.3.0';
const HOME = join(CACHE, `skyrl-${VERSION}`);
const BIN = join(HOME, 'venv/bin');
const PYTHON = join(BIN, 'python');

/** A Python that SkyRL takes; below 3.12 one line of it has to be patched. */
function findPython() {
  const check = 'import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 11) else 1)';
  const names = ['python3.12', 'python3.13', 'python3.11', 'python3', 'python'];
  const found = names.find((name) => capture(name, ['-c', check]) !== null);
  if (!found) throw new Error('SkyRL needs Python 3.11 or newer with venv.');
  return found;
}

/** @param {string[]} args */
async function pip(args) {
  const options = ['--quiet', '--disable-pip-version-check', '--no-input'];
  if ((await run(PYTHON, ['-m', 'pip', 'install', ...options, ...args])) !== 0) {
    throw new Error(`pip could not install ${args.join(' ')}.`);
  }
}

async function ensureServer() {
  if (existsSync(join(HOME, 'venv/.ready'))) return;
  console.log(`Installing skyrl ${VERSION} into ${HOME} (JAX and PyTorch are large: this takes minutes) ...`);
  mkdirSync(HOME, { recursive: true });
  if ((await run(findPython(), ['-m', 'venv', '--clear', join(HOME, 'venv')])) !== 0)
    throw new Error('venv failed.');
  // PyTorch first: what needs it would otherwise be free to take the CUDA build.
  await pip([process.env['LORIKEET_TORCH'] ?? 'torch==2.13.0']);
  await pip([`skyrl[tinker,jax]==${VERSION}`, 'uv']);
  if (capture(PYTHON, ['-c', 'import sys; sys.exit(sys.version_info >= (3, 12))']) !== null) {
    // pydantic refuses typing.TypedDict below Python 3.12; nothing of the protocol is touched.
    const find =
      'import importlib.util as u, pathlib; print(pathlib.Path(u.find_spec("skyrl").origin).parent / "tinker/types.py")';
    const file = capture(PYTHON, ['-c', find])?.trim() ?? '';
    const source = readFileSync(file, 'utf8');
    const line = 'from typing import Annotated, Any, Literal, TypedDict\n';
    const patched = 'from typing import Annotated, Any, Literal\nfrom typing_extensions import TypedDict\n';
    writeFileSync(file, source.replace(line, patched));
  }
  writeFileSync(join(HOME, 'venv/.ready'), '');
}

/** @returns {Promise<number>} a port that is free now */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** @param {string} url */
async function isUp(url) {
  try {
    return (await fetch(`${url}/api/v1/healthz`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}

/** @param {string} model */
async function startServer(model) {
  await ensureServer();
  const port = await freePort();
  const state = join(HOME, `state-${process.pid}`);
  mkdirSync(join(state, 'checkpoints'), { recursive: true });
  const log = createWriteStream(join(HOME, 'server.log'));
  const config = {
    max_lora_adapters: 6,
    max_lora_rank: 16,
    train_micro_batch_size: 8,
    sample_max_num_sequences: 8,
  };
  // The API starts its engine with the words of its own parent, so it has to be started through uv.
  const words = [
    'run',
    '--no-project',
    '--active',
    '-m',
    'skyrl.tinker.api',
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
  ];
  const options = [
    '--base-model',
    basename(model),
    '--backend',
    'jax',
    '--checkpoints-base',
    join(state, 'checkpoints'),
  ];
  const more = [
    '--database-url',
    `sqlite:///${join(state, 'tinker.db')}`,
    '--backend-config',
    JSON.stringify(config),
  ];
  const env = {
    ...process.env,
    VIRTUAL_ENV: join(HOME, 'venv'),
    PATH: `${BIN}:${process.env['PATH'] ?? ''}`,
    JAX_PLATFORMS: 'cpu',
    UV_OFFLINE: '1',
    HF_HUB_OFFLINE: '1',
  };
  const child = spawn(join(BIN, 'uv'), [...words, ...options, ...more], {
    cwd: dirname(model),
    env,
    // A group of its own, so that the engine ends with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  const stop = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    rmSync(state, { recursive: true, force: true });
  };
  process.on('exit', stop);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
  const url = `http://127.0.0.1:${port}`;
  for (let waited = 0; !(await isUp(url)); waited++) {
    if (child.exitCode !== null || child.signalCode !== null || waited > 180)
      throw new Error(`SkyRL did not start; see ${join(HOME, 'server.log')}.`);
    await sleep(1000);
  }
  return url;
}

await ensurePackages();
const model = process.env['LORIKEET_REMOTE_MODEL'] ?? join(ROOT, '../shared/fixtures/tinker-wire/tiny-qwen3');
if (!existsSync(join(model, 'config.json'))) {
  throw new Error(`${model} is no model folder. Set LORIKEET_REMOTE_MODEL to one that SkyRL can serve.`);
}
const url = process.env['LORIKEET_REMOTE_URL'] ?? (await startServer(model));
console.log(`The tests run against ${url}.`);
const status = await runNode(
  join(ROOT, 'node_modules/vitest/vitest.mjs'),
  ['run', '--config', 'vitest.remote.config.ts', ...process.argv.slice(2)],
  { env: { ...process.env, LORIKEET_REMOTE_URL: url, LORIKEET_REMOTE_MODEL: model } },
);
process.exit(status);
