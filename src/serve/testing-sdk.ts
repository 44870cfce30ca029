/** The official Python client as a program beside the tests: where it lies, and a run of a tool with it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = new URL('../../', import.meta.url).pathname;

/** The newest speaks protobuf, the old one JSON. */
export type SdkVersion = 'newest' | 'old';

function need(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') throw new Error(`${name} is not set; npm test sets it.`);
  return value;
}

/** The last line that a tool prints, as JSON. */
export async function runWithSdk(
  version: SdkVersion,
  tool: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const path = need(version === 'newest' ? 'LORIKEET_TINKER_NEWEST' : 'LORIKEET_TINKER_OLD');
  try {
    const { stdout } = await promisify(execFile)(
      need('LORIKEET_PYTHON'),
      [join(ROOT, 'tools', tool), ...args],
      {
        env: {
          ...process.env,
          PYTHONPATH: path,
          // The client asks for a key of this form; the server looks at none unless it is told one.
          TINKER_API_KEY: 'tml-local',
          HF_HUB_OFFLINE: '1',
          OMP_NUM_THREADS: '1',
          PYTHONWARNINGS: 'ignore',
          ...env,
        },
        maxBuffer: 64 * 2 ** 20,
        timeout: 240_000,
      },
    );
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string };
    throw new Error(
      `${tool} failed: ${(error as Error).message}\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`,
      {
        cause: error,
      },
    );
  }
}
