// npm test: installs what is missing and runs every part, also after one has failed. The end names what failed and counts tests.
//   npm test -- --only types,lint,unit     runs these parts only
import { parseArgs } from 'node:util';
import { countCheck, sumCounts } from './lib/counts.mjs';
import { failureLines } from './lib/failures.mjs';
import { ensurePackages } from './lib/install.mjs';
import { PARTS } from './lib/parts.mjs';

/** @returns {typeof PARTS} the parts that were asked for */
function chosenParts() {
  const { only } = parseArgs({ options: { only: { type: 'string' } } }).values;
  if (only === undefined) return PARTS;
  const names = only.split(',');
  const known = PARTS.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`There is no part ${unknown.join(', ')}. The parts are ${known.join(', ')}.`);
  return PARTS.filter(({ name }) => names.includes(name));
}

/** @param {number} start */
const secondsSince = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;

/** @param {import('./lib/counts.mjs').Counts} counts */
const words = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed, ${skipped} skipped`;

/** @param {typeof PARTS[number]} part */
async function runPart({ name, title, run }) {
  const start = performance.now();
  console.log(`\n=== ${title}`);
  const counts = await run().catch((error) => {
    console.error(error);
    return countCheck(false);
  });
  const line = `${name}: ${words(counts)} in ${secondsSince(start)}`;
  console.log(`--- ${line}`);
  return { counts, line };
}

/** @type {typeof PARTS} */
let parts;
try {
  parts = chosenParts();
  await ensurePackages();
} catch (error) {
  console.error(`npm test: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(2);
}
const start = performance.now();
const results = [];
for (const part of parts) results.push(await runPart(part));
const total = sumCounts(results.map(({ counts }) => counts));
console.log(`\n=== All in ${secondsSince(start)}`);
for (const { line } of results) console.log(line);
for (const line of failureLines(results.flatMap(({ counts }) => counts.failures ?? []))) console.log(line);
console.log(words(total));
process.exitCode = total.failed === 0 ? 0 : 1;
