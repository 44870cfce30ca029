/**
 * The official Python client, old and newest, trains the embedded model through the command `lorikeet serve`: the same
 * numbers as the TypeScript client on the same machine, and an archive that is what was trained.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServiceClient } from '../api/service-client.ts';
import { createNodeBackend } from '../cli/node-host.ts';
import { createReporter } from '../cli/progress.ts';
import { tinyFolder } from '../cli/sources.ts';
import { startCommand, type ServeCommand } from './testing-command.ts';
import {
  customNumbers,
  expectClose,
  expectManaged,
  expectRefusals,
  expectSame,
  programNumbers,
  REQUEST,
} from './testing-program.ts';
import { runWithSdk } from './testing-sdk.ts';

const request = {
  ...REQUEST,
  baseModel: tinyFolder(),
  data: [
    [1, 315, 202, 361, 307, 1301, 14, 21, 34, 2],
    [1, 316, 202, 1159, 307, 1590, 17],
    [1, 830, 202, 37, 72, 724, 17, 2, 202, 1, 315],
  ],
  prompt: [1, 315, 202, 361],
  tokenizer: true,
  archive: true,
};

let work = '';
let command: ServeCommand;
let numbers: Record<string, unknown>;
let custom: number[][][];

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-sdk-'));
  await writeFile(join(work, 'request.json'), JSON.stringify(request));
  const report = createReporter({ quiet: true });
  const backend = createNodeBackend({ device: 'auto', store: join(work, 'here'), report });
  const service = new ServiceClient({ backend, env: {}, onWarning: () => undefined });
  numbers = await programNumbers(service, request);
  custom = await customNumbers(service, request);
  await service.close();
  command = await startCommand('--model', request.baseModel, '--store', join(work, 'served'));
});
afterAll(async () => {
  const code = await command.stop();
  if (code !== 0) throw new Error(`lorikeet serve ended with ${String(code)}: ${command.stderr()}`);
  await rm(work, { recursive: true, force: true });
});

describe('the official Python client on the GPU of this machine', () => {
  it.each([
    ['old', '0.24.1'],
    ['newest', '0.38.0'],
  ] as const)('gives the numbers of the TypeScript client (%s)', async (which, version) => {
    const seen = await runWithSdk(which, 'serve_sdk.py', [command.url, join(work, 'request.json'), work]);
    expect(seen['version']).toBe(version);
    expectSame(seen, numbers);
    expectClose((seen['custom'] as unknown[]).slice(1), custom);
    expectManaged(seen);
    expectRefusals(seen);
    expect(seen['info']).toEqual([request.baseModel, true, 8]);
    expect(seen['tokenizer']).toEqual([expect.any(Number), expect.arrayContaining([expect.any(Number)])]);
    expect(seen['archive']).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'checkpoint_complete',
    ]);
    expect(seen['resumed']).toEqual([206, true]);
  });
});
