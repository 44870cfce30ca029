// npm run test:fuzz: `lorikeet serve` and `lorikeet relay` under requests that nobody should send, for --minutes (5).
//   --minutes N   --seed N
// Three programs: a server on the embedded model, a relay before it, a relay before a server that behaves badly. It fails on a
// crash, a 5xx without a name, an answer that does not end, a health that takes 2 s, and memory that grows: the relays' own
// size, and what the server holds in JavaScript and in buffers of the GPU.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './lib/build.mjs';
import { ensureChromium } from './lib/chromium.mjs';
import { isThere, makeIds } from './lib/fuzz-ids.mjs';
import { memoryOf, startProgram, tallyOf, watch } from './lib/fuzz-programs.mjs';
import { sampleRequests } from './lib/fuzz-requests.mjs';
import { sendAll } from './lib/fuzz-send.mjs';
import { startBadTarget } from './lib/fuzz-target.mjs';
import { ensurePackages } from './lib/install.mjs';
import { CACHE } from './lib/paths.mjs';
import { ensureSchemathesis, runSchemathesis } from './lib/schemathesis.mjs';
import { chooseVulkan } from './lib/vulkan.mjs';

const ORIGIN = 'http://127.0.0.1:4173';
const KEY = 'tml-fuzz-key-that-no-output-may-hold';
const BATCH = 200;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
  },
});
const seconds = Number(values.minutes) * 60;
const seed = Number(values.seed);
if (!(seconds >= 6) || !Number.isInteger(seed))
  throw new Error('--minutes is a number from 0.1, --seed a whole number.');

await ensurePackages();
await ensureSchemathesis();
await ensureBuilt('cli');
const choice = await chooseVulkan(ensureChromium);
console.log(`seed ${seed}, ${seconds} s${choice ? `, Dawn on ${choice.adapter.name}` : ''}`);

const store = mkdtempSync(join(tmpdir(), 'lorikeet-fuzz-'));
const bad = await startBadTarget();
const relayed = ['--allow-origin', ORIGIN, '--port', '0'];
const tally = join(store, 'tally.json');
const kept = join(store, 'runs');
const serve = await startProgram(
  'serve',
  ['serve', '--port', '0', '--allow-origin', ORIGIN, '--store', kept],
  {
    ...choice?.env,
    LORIKEET_FUZZ_TALLY: tally,
    NODE_OPTIONS: `--import=${new URL('./lib/fuzz-tally.mjs', import.meta.url).href}`,
  },
);
const relay = await startProgram('relay', ['relay', '--target', serve.url, ...relayed], {
  TINKER_API_KEY: KEY,
});
const before = await startProgram('relay before a bad server', ['relay', '--target', bad.url, ...relayed], {
  TINKER_API_KEY: KEY,
});
const programs = [serve, relay, before];
process.on('exit', () => programs.forEach(({ pid }) => tryKill(pid)));

/** @param {number} pid */
function tryKill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** @type {string[]} */
const problems = [];
const until = Date.now() + seconds * 1000;
const over = () => Date.now() >= until;
const watches = [
  {
    program: serve,
    stop: watch(serve, { health: '/api/v1/healthz', weigh: () => tallyOf(tally), growthMib: 96 }),
  },
  ...[relay, before].map((program) => ({
    program,
    stop: watch(program, { health: '/healthz', weigh: () => memoryOf(program.pid), growthMib: 64 }),
  })),
];

/** Raw requests at one program after the other, until the time is over. */
async function rawLane() {
  /** @type {Map<string, { sent: number, statuses: Record<string, number> }>} */
  const counts = new Map(programs.map(({ name }) => [name, { sent: 0, statuses: {} }]));
  /** @type {string[]} */
  let ids = [];
  for (let batch = 0; !over(); batch++) {
    // The requests may have ended the model of the last round.
    if (!(await isThere(serve.url, ids))) ids = await makeIds(serve.url, 'tiny').catch(() => []);
    for (const { name, port } of programs) {
      const place = { host: `127.0.0.1:${port}`, origin: ORIGIN, prefix: '/api/v1', ids };
      const requests = sampleRequests(place, BATCH, seed + batch);
      const outcome = await sendAll(port, requests, { limitMs: 45_000, atOnce: 8, until: over });
      const count = counts.get(name);
      if (count === undefined) continue;
      count.sent += outcome.sent;
      for (const [status, n] of Object.entries(outcome.statuses)) {
        count.statuses[status] = (count.statuses[status] ?? 0) + n;
      }
      for (const { why, request, text } of outcome.problems) {
        const file = join(CACHE, 'fuzz', `raw-${seed + batch}-${problems.length}.txt`);
        writeFileSync(file, Buffer.concat([...request.pieces, Buffer.from(`\n----\n${text}\n`)]));
        problems.push(`${name}: ${why} (${request.kind}; ${file})`);
      }
    }
  }
  return counts;
}

/** schemathesis at the server, then through the relay, each for half of the time. */
async function schemaLane() {
  const half = Math.max(3, Math.floor(seconds / 2) - 1);
  const schema = `${serve.url}/openapi.json`;
  const found = [];
  for (const { name, url } of [serve, relay]) {
    const o = { name: `schemathesis-${name}`, schema, url, seconds: half, seed, headers: { Origin: ORIGIN } };
    const outcome = await runSchemathesis(o);
    problems.push(...outcome.problems.map((words) => `${name}, schemathesis: ${words} (${outcome.output})`));
    found.push({ name, ...outcome });
  }
  return found;
}

mkdirSync(join(CACHE, 'fuzz'), { recursive: true });
const [counts, found] = await Promise.all([rawLane(), schemaLane()]);

console.log(`\nRaw requests`);
for (const [name, { sent, statuses }] of counts)
  console.log(`  ${name}: ${sent}  ${JSON.stringify(statuses)}`);
console.log(`schemathesis`);
for (const { name, cases, operations } of found)
  console.log(`  ${name}: ${cases} requests to ${operations} operations`);
console.log(`Health and memory`);
for (const { program, stop } of watches) {
  const { checks, slowestMs, heldMib, mostMib, problems: seen } = await stop();
  console.log(`  ${program.name}: ${checks} checks, slowest ${slowestMs} ms`);
  console.log(`    holds in MiB, over time: ${heldMib.join(' ')}; the process at most ${mostMib}`);
  problems.push(...new Set(seen.map((words) => `${program.name}: ${words}`)));
  if (program.output().includes(KEY)) problems.push(`${program.name}: it printed the key`);
  writeFileSync(join(CACHE, 'fuzz', `${program.name.replaceAll(' ', '-')}.log`), program.output());
}
for (const program of programs.reverse()) await program.stop();
await bad.close();
rmSync(store, { recursive: true, force: true });

for (const words of problems) console.error(`PROBLEM: ${words}`);
console.log(problems.length === 0 ? 'No problem was found.' : `${problems.length} problems.`);
process.exit(problems.length === 0 ? 0 : 1);
