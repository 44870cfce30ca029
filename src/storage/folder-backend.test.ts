import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFolderBackend } from './folder-backend.ts';
import { careCases } from './store-care.suite.ts';
import { damageCases } from './store-damage.suite.ts';
import { storeCases } from './store.suite.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lorikeet-store-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('the store in a folder', () => {
  for (const test of [...storeCases, ...damageCases, ...careCases]) {
    it(test.name, async () => {
      const home = { backend: () => openFolderBackend(join(dir, 'store')) };
      await expect(test.run(home)).resolves.toBeUndefined();
    });
  }
});
