/** `lorikeet relay` as a program: its key, what it prints, its end, and what it refuses to start with. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeCertificate } from './certificate.ts';
import { errorOf, lorikeet, ROOT } from './lorikeet.ts';

const PAGE = 'http://127.0.0.1:4173';
const seen: IncomingHttpHeaders[] = [];
const target = createServer((request, response) => {
  seen.push(request.headers);
  response.end('from the server');
});
const folder = mkdtempSync(join(tmpdir(), 'lorikeet-relay-'));
let url = '';
beforeAll(async () => {
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${String((target.address() as AddressInfo).port)}`;
});
afterAll(() => {
  target.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts the relay; resolves with the first line of its output. */
async function start(args: string[], env: Record<string, string> = {}, to = url) {
  const words = [join(ROOT, 'bin/lorikeet.mjs'), 'relay', '--target', to, '--port', '0', ...args];
  const child = spawn(process.execPath, words, { env: { ...process.env, ...env }, stdio: 'pipe' });
  const printed = { out: '', err: '' };
  child.stderr.on('data', (part: Buffer) => (printed.err += part.toString()));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (part: Buffer) => {
      printed.out += part.toString();
      if (printed.out.includes('\n')) resolve();
    });
    void ended.then(() => reject(new Error(printed.err)));
  });
  return { child, printed, ended };
}

test('adds the key of its environment, refuses others, prints no key, and ends with Ctrl-C', async () => {
  const { child, printed, ended } = await start(['--json'], { TINKER_API_KEY: 'tml-s3cret' });
  const told = JSON.parse(printed.out) as Record<string, string>;
  expect(told).toEqual({
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) as string,
    target: url,
    allowOrigin: PAGE,
    keyFrom: 'relay',
  });
  const address = `${told['url'] ?? ''}/api/v1/healthz`;
  const answer = await fetch(address, { headers: { origin: PAGE } });
  expect([answer.status, await answer.text()]).toEqual([200, 'from the server']);
  expect(seen.at(-1)?.['x-api-key']).toBe('tml-s3cret');
  expect((await fetch(address, { headers: { origin: 'http://evil.example' } })).status).toBe(403);
  child.kill('SIGINT');
  expect(await ended).toBe(0);
  expect(printed.err).toContain('403 RELAY_ORIGIN_REFUSED');
  expect(printed.out + printed.err).not.toContain('s3cret');
});

test('takes the key from a file, and says so', async () => {
  const file = join(folder, 'key');
  writeFileSync(file, 'tml-s3cret\n');
  const { child, printed, ended } = await start([
    '--api-key-file',
    file,
    '--allow-origin',
    'http://localhost:5',
  ]);
  const [, address = ''] = /at (http:\S+),/.exec(printed.out) ?? [];
  await fetch(`${address}/api/v1/x`, { headers: { origin: 'http://localhost:5' } });
  expect(seen.at(-1)?.['x-api-key']).toBe('tml-s3cret');
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(printed.out).toContain('the page needs none');
  expect(printed.out + printed.err).not.toContain('s3cret');
});

test.each([
  ['a host that others reach', ['--target', 'http://a', '--host', '0.0.0.0'], '--host is 0.0.0.0'],
  ['no origin', ['--target', 'http://a', '--allow-origin', '*'], '--allow-origin is "*"'],
  ['no address', ['--target', 'gpu-box:8000'], '--target is neither http nor https'],
  ['no port', ['--target', 'http://a', '--port', '70000'], '--port is "70000"'],
])('refuses %s', async (_, args, words) => {
  const outcome = await lorikeet(['relay', ...args]);
  expect(outcome.code).toBe(2);
  expect(errorOf(outcome)).toMatchObject({ code: 'OPTION_INVALID' });
  expect(errorOf(outcome).text).toContain(words);
});

test('warns where other machines can reach it', async () => {
  const { child, printed, ended } = await start(['--host', '0.0.0.0', '--expose'], {
    TINKER_API_KEY: 'tml-s3cret',
  });
  child.kill('SIGINT');
  await ended;
  expect(printed.err).toContain('Warning: other machines can reach this relay and use the key through it');
});

test('speaks TLS to servers whose certificate is good, and to no others', async () => {
  const { key, cert } = makeCertificate();
  const file = join(folder, 'ca.pem');
  writeFileSync(file, cert);
  const keys: unknown[] = [];
  const server = createTls({ key, cert }, (request, response) => {
    keys.push(request.headers['x-api-key']);
    response.end('over TLS');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const to = `https://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const ask = async (env: Record<string, string>): Promise<[number, string]> => {
    const { child, printed, ended } = await start(['--json'], { TINKER_API_KEY: 'tml-s3cret', ...env }, to);
    const address = (JSON.parse(printed.out) as { url: string }).url;
    const answer = await fetch(`${address}/api/v1/x`, { headers: { origin: PAGE } });
    const text = await answer.text();
    child.kill('SIGINT');
    await ended;
    return [answer.status, text];
  };
  const [status, text] = await ask({});
  expect([status, JSON.parse(text)]).toEqual([
    502,
    {
      code: 'RELAY_TARGET_UNREACHABLE',
      detail: 'The server cannot be reached (DEPTH_ZERO_SELF_SIGNED_CERT).',
    },
  ]);
  expect(keys).toEqual([]);
  expect(await ask({ NODE_EXTRA_CA_CERTS: file })).toEqual([200, 'over TLS']);
  expect(keys).toEqual(['tml-s3cret']);
  server.close();
});
