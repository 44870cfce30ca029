import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolderBackend } from '../storage/folder-backend.ts';
import { startTestBrowser, type TestBrowser } from '../testing/browser.ts';
import type { inBrowser as InBrowser } from './testing-encodings-page.ts';
import { encodingCases } from './testing-encodings.ts';

describe('a checkpoint that is stored as a difference in a folder', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lorikeet-encodings-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test.each(encodingCases.map(({ name }, i) => [name, i] as const))('%s', async (_, i) => {
    const home = { backend: () => openFolderBackend(join(folder, String(i))) };
    await expect(encodingCases[i]?.run(home)).resolves.toBeUndefined();
  });
});

describe('a checkpoint that is stored as a difference in IndexedDB', () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await startTestBrowser('/src/checkpoints/testing-encodings-page.ts');
  });
  afterAll(() => browser.close());

  test.each(encodingCases.map(({ name }) => name))('%s', async (name) => {
    const failure = await browser.page.evaluate((wanted) => {
      const { inBrowser } = globalThis as unknown as { inBrowser: typeof InBrowser };
      return inBrowser.runCase(wanted);
    }, name);
    expect(failure).toBe('');
  });
});
