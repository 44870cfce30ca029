/** `lorikeet relay`: starts the relay, says where it is, and ends with Ctrl-C. */
import { readFile } from 'node:fs/promises';
import { StudioError } from '../errors.ts';
import { startRelay } from '../relay/relay.ts';
import { isLoopbackHost } from '../relay/target.ts';
import { onInterrupt } from './interrupt.ts';
import type { RelayCommandOptions } from './program-relay.ts';
import { wrongOption } from './values.ts';

const MAX_KEY = 4096;

/** A key as a header can carry it. Throws OPTION_INVALID; the key is never repeated. */
function checkKey(text: string, where: string): string {
  const key = text.trim();
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= MAX_KEY) return key;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `${where} holds no key.`,
    fix: 'Put the key there, in one line.',
  });
}

/** The key of a file. Throws FILE_NOT_FOUND and OPTION_INVALID. */
export async function readKeyFile(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new StudioError(
      {
        code: 'FILE_NOT_FOUND',
        message: `The key file ${file} cannot be read.`,
        fix: 'Check --api-key-file.',
      },
      { cause },
    );
  }
  return checkKey(text, file);
}

/** The key of a file, or of the environment; null where the page brings its own. */
export async function findKey(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  if (file !== undefined) return readKeyFile(file);
  const key = env['TINKER_API_KEY'];
  return key === undefined || key === '' ? null : checkKey(key, 'TINKER_API_KEY');
}

/** Runs the command until it is interrupted. */
export async function relay(o: RelayCommandOptions): Promise<void> {
  if (o.port > 65_535) throw wrongOption('--port', String(o.port), 'a whole number from 0 to 65535');
  const apiKey = await findKey(o.apiKeyFile, process.env);
  const running = await startRelay({
    target: o.target,
    host: o.host,
    port: o.port,
    allowOrigin: o.allowOrigin,
    expose: o.expose,
    apiKey,
    maxBodyBytes: o.maxBody * 2 ** 20,
    ...(o.quiet ? {} : { onTrouble: (line: string) => process.stderr.write(`${line}\n`) }),
  });
  if (!isLoopbackHost(o.host)) {
    process.stderr.write(
      `Warning: other machines can reach this relay${apiKey === null ? '' : ' and use the key through it'}, without encryption.\n`,
    );
  }
  const { url, target, allowOrigin } = running;
  const keyFrom = apiKey === null ? 'page' : 'relay';
  process.stdout.write(
    o.json
      ? `${JSON.stringify({ url, target, allowOrigin, keyFrom })}\n`
      : `The relay is at ${url}, before ${target}, for pages of ${allowOrigin}.\n` +
          `The key is ${apiKey === null ? "the page's own" : 'added here; the page needs none'}. Press Ctrl+C to end it.\n`,
  );
  const interrupt = onInterrupt(() => undefined);
  if (!interrupt.signal.aborted) {
    await new Promise((resolve) => interrupt.signal.addEventListener('abort', resolve, { once: true }));
  }
  await running.close();
  interrupt.release();
}
