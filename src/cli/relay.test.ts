/** The key that the relay adds, and its options. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_RELAY } from '../relay/relay.ts';
import { addRelay, type RelayCommandOptions } from './program-relay.ts';
import { findKey } from './relay.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-relay-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function parsed(...argv: string[]): Promise<RelayCommandOptions | null> {
  let options: RelayCommandOptions | null = null;
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  addRelay(program, async (given) => void (options = given));
  await program.parseAsync(['relay', ...argv], { from: 'user' });
  return options;
}

describe('the options', () => {
  it('default to those of the relay', async () => {
    expect(await parsed('--target', 'http://a:8000')).toEqual({
      target: 'http://a:8000',
      host: DEFAULT_RELAY.host,
      port: DEFAULT_RELAY.port,
      allowOrigin: 'http://127.0.0.1:4173',
      maxBody: DEFAULT_RELAY.maxBodyBytes / 2 ** 20,
      expose: false,
      json: false,
      quiet: false,
    });
  });

  it('need a target', async () => {
    await expect(parsed()).rejects.toThrow("required option '--target <url>' not specified");
  });
});

describe('the key', () => {
  it('comes from the file, then from the environment, or from the page', async () => {
    const file = join(folder, 'key');
    await writeFile(file, '  tml-file\n');
    expect(await findKey(file, { TINKER_API_KEY: 'tml-env' })).toBe('tml-file');
    expect(await findKey(undefined, { TINKER_API_KEY: 'tml-env' })).toBe('tml-env');
    expect(await findKey(undefined, { TINKER_API_KEY: '' })).toBeNull();
    expect(await findKey(undefined, {})).toBeNull();
  });

  it.each(['', ' \n', 'tml-a b', 'tml-a\r\nX-Other: 1', 'tml-é', 'a'.repeat(4097)])(
    'is refused and not repeated: %j',
    async (text) => {
      const file = join(folder, 'wrong');
      await writeFile(file, text);
      const error: unknown = await findKey(file, {}).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'OPTION_INVALID', message: `${file} holds no key.` });
    },
  );

  it('is named where its file is missing', async () => {
    await expect(findKey(join(folder, 'none'), {})).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});
