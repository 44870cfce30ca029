/** The program that the kill test of the folder store kills; a bundle of it runs in Node. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { openFolderBackend } from './folder-backend.ts';
import { nodeFileOps, type FileOps } from './folder-files.ts';
import { churn } from './testing-kill.ts';

const [dir = '', seed = '0', killAt = '0', how = ''] = process.argv.slice(2);
let changes = 0;

/** Dies at the chosen change: before it, in the middle of it, or right after it. */
async function change(work: () => Promise<void>, half?: () => void): Promise<void> {
  changes += 1;
  const isLast = changes === Number(killAt);
  if (isLast && how === 'before') process.kill(process.pid, 'SIGKILL');
  if (isLast && how === 'half' && half !== undefined) {
    half();
    process.kill(process.pid, 'SIGKILL');
  }
  await work();
  if (isLast) process.kill(process.pid, 'SIGKILL');
}

const files: FileOps = {
  writeNew: (path, bytes) =>
    change(
      () => nodeFileOps.writeNew(path, bytes),
      () => {
        const file = openSync(path, 'wx');
        writeSync(file, bytes.subarray(0, bytes.byteLength / 2));
        closeSync(file);
      },
    ),
  rename: (from, to) => change(() => nodeFileOps.rename(from, to)),
  remove: (path) => change(() => nodeFileOps.remove(path)),
  makeFolder: (path) => change(() => nodeFileOps.makeFolder(path)),
  syncFolder: (path) => change(() => nodeFileOps.syncFolder(path)),
};

await churn({ backend: () => openFolderBackend(dir, { files }) }, Number(seed), (line) => {
  writeSync(1, `${line}\n`);
  return Promise.resolve();
});
