/** The options of the server, and which models it lets programs ask for. */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_LIMITS } from '../serve/options.ts';
import { createNodeHost } from './node-host.ts';
import { createReporter } from './progress.ts';
import { addServe, type ServeCommandOptions } from './program-serve.ts';
import { servedModel, serveHost } from './serve.ts';
import { TINY_ID, tinyFolder } from './sources.ts';

async function parsed(...argv: string[]): Promise<ServeCommandOptions | null> {
  let options: ServeCommandOptions | null = null;
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  addServe(program, async (given) => void (options = given));
  await program.parseAsync(['serve', ...argv], { from: 'user' });
  return options;
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the options', () => {
  it('listen on loopback without a key unless they say otherwise', async () => {
    vi.stubEnv('LORIKEET_STORE', undefined);
    vi.stubEnv('LORIKEET_API_KEY', undefined);
    expect(await parsed()).toEqual({
      model: [],
      host: '127.0.0.1',
      port: 8000,
      maxBody: DEFAULT_LIMITS.maxBody / 2 ** 20,
      maxModels: DEFAULT_LIMITS.maxModels,
      allowHost: [],
      allowOrigin: [],
      store: 'lorikeet-runs',
      device: 'auto',
      json: false,
      quiet: false,
    });
  });

  it('take the key from the environment, and models one by one', async () => {
    vi.stubEnv('LORIKEET_API_KEY', 'tml-from-env');
    expect(await parsed('--model', 'tiny', '--model', 'a/b')).toMatchObject({
      apiKey: 'tml-from-env',
      model: ['tiny', 'a/b'],
    });
  });
});

describe('the models', () => {
  const report = createReporter({ quiet: true });
  const host = serveHost(
    createNodeHost({ device: 'auto', store: 'unused', report }),
    [servedModel('tiny')],
    report,
  );

  it('are known by their names and their folders, where clients look for the tokenizer', async () => {
    const folder = tinyFolder();
    expect(servedModel('tiny')).toEqual({ names: [TINY_ID, 'tiny', folder], source: 'tiny', folder });
    const relative = servedModel('src/cli');
    expect(relative).toMatchObject({ names: [resolve('src/cli'), 'src/cli'], folder: resolve('src/cli') });
    expect(servedModel('owner/name')).toEqual({ names: ['owner/name'], source: 'owner/name', folder: null });
    expect((await host.models()).map(({ modelName }) => modelName)).toEqual([TINY_ID, 'tiny', folder]);
    for (const name of [TINY_ID, 'tiny', folder])
      expect((await host.openModel(name)).config.vocabSize).toBeGreaterThan(0);
  });

  it.each(['/etc', '../..', 'owner/other', ''])('open nothing else: %j', async (name) => {
    await expect(host.openModel(name)).rejects.toMatchObject({
      status: 404,
      fix: expect.stringContaining(TINY_ID),
    });
  });
});
