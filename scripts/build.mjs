// npm run build: builds what is named (studio, cli, bench), or the studio and the command line.
import { BUILDS, ensureBuilt } from './lib/build.mjs';
import { ensurePackages } from './lib/install.mjs';

const known = /** @type {Array<keyof typeof BUILDS>} */ (Object.keys(BUILDS));
const named = process.argv.slice(2);
const unknown = named.filter((name) => !known.some((other) => other === name));
if (unknown.length > 0) {
  console.error(`npm run build: ${unknown.join(', ')} is unknown. Name ${known.join(', ')}.`);
  process.exit(2);
}
await ensurePackages();
for (const name of known) {
  if (named.length > 0 ? named.includes(name) : name !== 'bench') await ensureBuilt(name, { force: true });
}
