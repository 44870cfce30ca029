// The builds in dist/, each made again only when what it is made of has changed.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './paths.mjs';
import { runNode } from './run.mjs';

const NODE_BUILD = ['--config', 'vite.node.config.ts', '--ssr'];
const COMMON = ['src', 'workers', 'shaders', 'package-lock.json', 'tsconfig.json'];

/** What is built: its arguments for Vite, and the files and folders that decide its content. */
export const BUILDS = {
  studio: {
    args: /** @type {string[]} */ ([]),
    sources: [...COMMON, 'index.html', 'public', 'vite.config.ts'],
  },
  cli: { args: [...NODE_BUILD, 'src/cli/main.ts'], sources: [...COMMON, 'vite.node.config.ts'] },
  lib: {
    args: ['--config', 'vite.lib.config.ts', '--mode', 'node'],
    sources: [...COMMON, 'package.json', 'vite.lib.config.ts'],
  },
  'lib-browser': {
    args: ['--config', 'vite.lib.config.ts', '--mode', 'browser'],
    sources: [...COMMON, 'package.json', 'vite.lib.config.ts'],
  },
  bench: { args: [...NODE_BUILD, 'bench/main.ts'], sources: [...COMMON, 'bench', 'vite.node.config.ts'] },
};

/**
 * A hash over names and contents of files and folders; tests do not count.
 * @param {string} root
 * @param {string[]} sources paths below `root`; missing ones count as missing
 */
export function fingerprint(root, sources) {
  const hash = createHash('sha256');
  /** @param {string} path */
  const add = (path) => {
    const full = join(root, path);
    if (!existsSync(full) || /\.test\.tsx?$/.test(path)) return;
    if (statSync(full).isDirectory()) for (const name of readdirSync(full).sort()) add(`${path}/${name}`);
    else hash.update(`${path}\0`).update(readFileSync(full)).update('\0');
  };
  for (const source of sources) add(source);
  return hash.digest('hex');
}

/**
 * Builds `dist/<name>` where it is missing or not made of the present sources. Messages go to stderr.
 * @param {keyof typeof BUILDS} name
 * @param {{ force?: boolean }} [options]
 */
export async function ensureBuilt(name, { force = false } = {}) {
  const { args, sources } = BUILDS[name];
  const out = join(ROOT, 'dist', name);
  const stamp = join(ROOT, 'dist', `${name}.sha256`);
  const wanted = fingerprint(ROOT, sources);
  if (!force && existsSync(out) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  console.error(`Building ${name} ...`);
  // Built beside and then moved, so that a program that runs from dist/ meanwhile never sees half a build.
  const fresh = `${out}-${process.pid}`;
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  const vite = join(ROOT, 'node_modules/vite/bin/vite.js');
  const options = ['--outDir', fresh, '--emptyOutDir', '--logLevel', 'warn'];
  const status = await runNode(vite, ['build', ...args, ...options], { stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    throw new Error(`The build of ${name} failed with status ${status}. Its messages are above.`);
  }
  rmSync(out, { recursive: true, force: true });
  renameSync(fresh, out);
  writeFileSync(stamp, wanted);
}
