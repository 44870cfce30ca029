// The licences of all npm packages, from the lock file, and that the lock file names no host to load them from.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './lib/paths.mjs';

const FREE = [
  'MIT',
  'MIT-0',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  '0BSD',
  'BlueOak-1.0.0',
  'Unlicense',
];
// Weak copyleft on the tool's own files: fine for a tool that builds, which is not part of the product.
const FREE_FOR_TOOLS = [...FREE, 'MPL-2.0'];

/** @param {string} path */
const readJson = (path) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

/** @type {Record<string, { license?: string, resolved?: string, dev?: boolean }>} */
const packages = readJson('package-lock.json').packages;
const problems = [];
for (const [path, { license, resolved, dev = false }] of Object.entries(packages)) {
  const file = `${path}/package.json`;
  const named = license ?? (existsSync(join(ROOT, file)) ? readJson(file).license : undefined) ?? 'none';
  const choices = named.replaceAll(/[()]/g, '').split(' OR ');
  const allowed = dev ? FREE_FOR_TOOLS : FREE;
  /** @param {string} choice */
  const isAllowed = (choice) => choice.split(' AND ').every((part) => allowed.includes(part));
  if (!choices.some(isAllowed)) problems.push(`${path}: the licence ${named} is not on the list.`);
  if (resolved) problems.push(`${path}: package-lock.json names a host. Install with the project's .npmrc.`);
}
for (const problem of problems) console.error(problem);
console.log(`${Object.keys(packages).length} packages checked, ${problems.length} problems.`);
process.exit(problems.length === 0 ? 0 : 1);
