// npm start: installs and builds what is missing, serves the studio on this machine and prints its address.
import { join } from 'node:path';
import { ensureBuilt } from './lib/build.mjs';
import { ensurePackages } from './lib/install.mjs';
import { ROOT } from './lib/paths.mjs';

const FIRST_PORT = 4173;

/** @param {string | undefined} text the environment's PORT */
function wantedPort(text) {
  if (text === undefined || text === '') return FIRST_PORT;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65536) return port;
  throw new Error(`PORT is ${text}. Set it to a number from 1 to 65535.`);
}

async function serve() {
  const port = wantedPort(process.env['PORT']);
  await ensurePackages();
  await ensureBuilt('studio');
  // Only now: before the installation there may be no Vite.
  const { preview } = await import('vite');
  const server = await preview({
    root: ROOT,
    configFile: join(ROOT, 'vite.config.ts'),
    preview: { host: '127.0.0.1', port, strictPort: false, open: false },
  });
  const address = server.httpServer.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no port.');
  console.log(`Lorikeet is at http://127.0.0.1:${address.port}/`);
  console.log('Press Ctrl+C to end it.');
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));

// Where npm is ended by a signal, it ends its shell but not us. We notice by our new parent.
const parent = process.ppid;
const orphaned = () => process.ppid !== parent && process.exit(0);
if (process.env['npm_lifecycle_event'] === 'start') setInterval(orphaned, 1000).unref();

serve().catch((error) => {
  console.error(`npm start: ${error.message}`);
  process.exit(1);
});
