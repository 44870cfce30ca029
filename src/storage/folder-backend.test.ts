import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFolderBackend } from './folder-backend.ts';
import { careCases } from './store-care.suite.ts';
import { damageCases } from './store-damage.suite.ts';
import { storeCases } from './store.suite.ts';
import { timeListing } from './testing-listing.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lorikeet-store-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

it('132: lists a thousand checkpoints in a time that an empty list gives the measure of', async () => {
  const { empty, full } = await timeListing(
    { backend: () => openFolderBackend(join(dir, 'empty')) },
    { backend: () => openFolderBackend(join(dir, 'full')) },
  );
  expect([empty.total, full.total]).toEqual([0, 1000]);
  // Measured: 100 times as long for the list, 160 times for a new connection and its first look.
  expect(full.listMs / empty.listMs).toBeLessThan(600);
  expect(full.openMs / empty.openMs).toBeLessThan(600);
});

describe('the store in a folder', () => {
  for (const test of [...storeCases, ...damageCases, ...careCases]) {
    it(test.name, async () => {
      const home = { backend: () => openFolderBackend(join(dir, 'store')) };
      await expect(test.run(home)).resolves.toBeUndefined();
    });
  }
});
