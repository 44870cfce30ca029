import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFolderBackend } from './folder-backend.ts';
import { careCases } from './store-care.suite.ts';
import { damageCases } from './store-damage.suite.ts';
import { storeCases } from './store.suite.ts';
import { timeListing } from './testing-listing.ts';

/** More than a disk's moods make of the figures below, and much less than reading 10 GB or each record a thousand times. */
const MOST = 5000;

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
  console.log('listing in a folder', JSON.stringify({ empty, full }));
  expect([empty.total, full.total]).toEqual([0, 1000]);
  expect(full.bytes).toBeGreaterThan(10e9);
  // Measured: 60 to 160 times as long for the list, 180 for a new connection and its first look, 130 for a start.
  expect(full.listMs / empty.listMs).toBeLessThan(MOST);
  expect(full.openMs / empty.openMs).toBeLessThan(MOST);
  expect(full.startMs / empty.startMs).toBeLessThan(MOST);
});

describe('the store in a folder', () => {
  for (const test of [...storeCases, ...damageCases, ...careCases]) {
    it(test.name, async () => {
      const home = { backend: () => openFolderBackend(join(dir, 'store')) };
      await expect(test.run(home)).resolves.toBeUndefined();
    });
  }
});
