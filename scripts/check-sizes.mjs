// Small files: no source file over 400 lines, no kernel over 150.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './lib/paths.mjs';
import { filesBelow } from './lib/walk.mjs';

const FOLDERS = ['src', 'workers', 'shaders', 'e2e', 'bench', 'scripts', 'bin', 'tools'];
const LIMITS = [
  { pattern: /\.(ts|tsx|mjs|css|py)$/, limit: 400 },
  { pattern: /\.wgsl$/, limit: 150 },
];

let checked = 0;
let tooLong = 0;
for (const file of FOLDERS.flatMap(filesBelow)) {
  const rule = LIMITS.find(({ pattern }) => pattern.test(file));
  if (!rule) continue;
  checked += 1;
  const lines = readFileSync(join(ROOT, file), 'utf8').trimEnd().split('\n').length;
  if (lines <= rule.limit) continue;
  tooLong += 1;
  console.error(`${file} has ${lines} lines; the limit is ${rule.limit}.`);
}
console.log(`${checked} files checked, ${tooLong} too long.`);
process.exit(tooLong === 0 ? 0 : 1);
