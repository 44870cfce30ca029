// Programs under test: started as people start them, asked all the time whether they are there, and weighed.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from './paths.mjs';
import { capture } from './run.mjs';

const HEALTH_MS = 2000;
const EVERY_MS = 250;

/**
 * @typedef {object} Program
 * @property {string} name
 * @property {string} url
 * @property {number} port
 * @property {number} pid
 * @property {() => string | null} ended why it is no longer there
 * @property {() => string} output
 * @property {() => Promise<void>} stop
 */

/**
 * Starts `lorikeet` with these words and `--json`, and waits for the line that says where it listens.
 * @param {string} name
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Program>}
 */
export async function startProgram(name, args, env) {
  const words = [join(ROOT, 'dist/cli/main.js'), ...args, '--json'];
  const child = spawn(process.execPath, words, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  let stopping = false;
  /** @type {string | null} */
  let ended = null;
  child.stdout.on('data', (part) => (out += part));
  child.stderr.on('data', (part) => (err = (err + part).slice(-100_000)));
  const gone = new Promise((resolve) =>
    child.on('close', (code, signal) => {
      if (!stopping) ended = `ended with ${code ?? signal}`;
      resolve(undefined);
    }),
  );
  while (!out.includes('\n') && ended === null) await sleep(20);
  if (ended !== null) throw new Error(`${name} did not start:\n${err}`);
  const { url } = /** @type {{ url: string }} */ (JSON.parse(out.split('\n')[0] ?? ''));
  return {
    name,
    url,
    port: Number(new URL(url).port),
    pid: child.pid ?? 0,
    ended: () => ended,
    output: () => out + err,
    stop: async () => {
      stopping = true;
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(late);
    },
  };
}

/**
 * Memory of a process in MiB; null where this system does not say.
 * @param {number} pid
 */
export function memoryOf(pid) {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    if (kib !== undefined) return Number(kib) / 1024;
  } catch {
    // Not on this system, or gone.
  }
  const kib = Number(capture('ps', ['-o', 'rss=', '-p', String(pid)])?.trim() || NaN);
  return Number.isFinite(kib) ? kib / 1024 : null;
}

/**
 * What a program with fuzz-tally.mjs holds in MiB; null before it has said so.
 * @param {string} file
 */
export function tallyOf(file) {
  try {
    const { script, buffers } = /** @type {{ script: number, buffers: number }} */ (
      JSON.parse(readFileSync(file, 'utf8'))
    );
    return (script + buffers) / 2 ** 20;
  } catch {
    // Not there yet, or half written.
    return null;
  }
}

/** The least of each ten: what is held, without what waits for the collector. @param {number[]} values */
const floors = (values) =>
  Array.from({ length: Math.ceil(values.length / 10) }, (_, i) =>
    Math.min(...values.slice(i * 10, i * 10 + 10)),
  );

/**
 * Asks a program for its health and its weight until it is told to end.
 * @param {Program} program
 * @param {{ health: string, weigh: () => number | null, growthMib: number }} o path of its health; its weight in MiB, and by
 *   how much that may grow after six tenths of the run, when what it may keep is kept
 */
export function watch(program, { health, weigh, growthMib }) {
  let over = false;
  let slowest = 0;
  let checks = 0;
  /** @type {string[]} */
  const problems = [];
  /** @type {number[]} */
  const weights = [];
  let mostMib = 0;
  const done = (async () => {
    while (!over) {
      const start = performance.now();
      try {
        const answer = await fetch(program.url + health, { signal: AbortSignal.timeout(HEALTH_MS) });
        await answer.arrayBuffer();
        if (answer.status !== 200) problems.push(`health answers ${answer.status}`);
      } catch (error) {
        problems.push(`no health within 2 s (${error instanceof Error ? error.name : String(error)})`);
      }
      checks += 1;
      slowest = Math.max(slowest, performance.now() - start);
      const weight = weigh();
      if (weight !== null) weights.push(weight);
      mostMib = Math.max(mostMib, memoryOf(program.pid) ?? 0);
      if (program.ended() !== null) {
        problems.push(`it ${program.ended()}`);
        return;
      }
      await sleep(EVERY_MS);
    }
  })();
  return async () => {
    over = true;
    await done;
    const held = floors(weights);
    const first = Math.max(...held.slice(0, Math.max(1, Math.floor(held.length * 0.6))));
    const last = held.at(-1) ?? NaN;
    if (!(last - first <= growthMib))
      problems.push(`it holds more and more: ${first.toFixed(0)}, then ${last.toFixed(0)} MiB`);
    const tenths = Array.from({ length: 11 }, (_, k) =>
      Math.round(held[Math.round((k * (held.length - 1)) / 10)] ?? NaN),
    );
    return {
      checks,
      slowestMs: Math.round(slowest),
      heldMib: tenths,
      mostMib: Math.round(mostMib),
      problems,
    };
  };
}
