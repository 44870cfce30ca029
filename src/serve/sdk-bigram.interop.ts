/** The official Python client, old and newest, against a server over the tests' backend: numbers as in TypeScript. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ServiceClient } from '../api/service-client.ts';
import { createBigramBackend } from '../api/testing-bigram-backend.ts';
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
import { serve } from './testing-serve.ts';

let work = '';
afterEach(() => rm(work, { recursive: true, force: true }));

describe('the official Python client', () => {
  it.each([
    ['old', '0.24.1'],
    ['newest', '0.38.0'],
  ] as const)('trains, saves, loads, samples and manages as TypeScript does (%s)', async (which, version) => {
    work = await mkdtemp(join(tmpdir(), 'lorikeet-sdk-'));
    const request = { ...REQUEST, baseModel: 'bigram', tokenizer: false, archive: false };
    await writeFile(join(work, 'request.json'), JSON.stringify(request));
    const { server } = await serve();
    const seen = await runWithSdk(which, 'serve_sdk.py', [server.url, join(work, 'request.json'), work]);
    const service = new ServiceClient({
      backend: createBigramBackend(),
      env: {},
      onWarning: () => undefined,
    });
    expect(seen['version']).toBe(version);
    expectSame(seen, await programNumbers(service, request));
    expectClose((seen['custom'] as unknown[]).slice(1), await customNumbers(service, request));
    await service.close();
    expectManaged(seen);
    expectRefusals(seen);
  });
});
