// The npm packages, as package-lock.json names them: free licences, no host to load them from, and those of the other
// systems too (npm leaves a platform's binaries out of the lock file when it cannot reach them; `npm ci` then refuses).
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

/** @typedef {{ license?: string, resolved?: string, dev?: boolean, optionalDependencies?: Record<string, string> }} Entry */

/** @param {string} path */
const readJson = (path) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

/**
 * Whether a licence (an SPDX expression) is on the list.
 * @param {string} licence
 * @param {string[]} allowed
 */
function isFree(licence, allowed) {
  const choices = licence.replaceAll(/[()]/g, '').split(' OR ');
  return choices.some((choice) => choice.split(' AND ').every((part) => allowed.includes(part)));
}

/** @type {Record<string, Entry>} */
const packages = readJson('package-lock.json').packages;
const problems = [];
for (const [path, { license, resolved, dev = false, optionalDependencies = {} }] of Object.entries(
  packages,
)) {
  const file = `${path}/package.json`;
  const licence = license ?? (existsSync(join(ROOT, file)) ? readJson(file).license : undefined) ?? 'none';
  if (!isFree(licence, dev ? FREE_FOR_TOOLS : FREE))
    problems.push(`${path}: the licence ${licence} is not on the list.`);
  if (resolved) problems.push(`${path}: package-lock.json names a host. Install with the project's .npmrc.`);
  for (const name of Object.keys(optionalDependencies)) {
    const known = `node_modules/${name}` in packages || `${path}/node_modules/${name}` in packages;
    if (!known)
      problems.push(`${path}: package-lock.json lacks ${name}. Restore its entry, or npm ci fails.`);
  }
}
for (const problem of problems) console.error(problem);
console.log(`${Object.keys(packages).length} packages checked, ${problems.length} problems.`);
process.exit(problems.length === 0 ? 0 : 1);
