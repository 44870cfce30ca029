/** Checkpoints of a remote run: in the same list as those here, fetched, and gone on with on this machine. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureBuilt } from '../../scripts/lib/build.mjs';
import { firstLine } from '../first-line.ts';
import { errorOf, json, lorikeet, ran, ROOT, scratch, someRows } from './lorikeet.ts';

const folder = scratch();
const rows = someRows(folder, 4);
const here = join(folder, 'here');
const server = { url: '', stop: (): Promise<unknown> => Promise.resolve() };
let remote: { state: string; sampler: string };

/** A program on the package that trains a step on the server, and prints what it saved. */
const program = (url: string): string => `
import { ModelInput, ServiceClient } from 'lorikeet';
const service = new ServiceClient({ backend: { baseUrl: ${JSON.stringify(url)} }, onWarning: () => undefined });
const client = await service.createLoraTrainingClient('lorikeet-tiny', { rank: 4, trainUnembed: false });
const ids = [1, 315, 202, 361, 307, 1301, 14];
const datum = { modelInput: ModelInput.fromInts(ids.slice(0, -1)), lossFnInputs: { targetTokens: ids.slice(1) } };
await client.train([datum], 'cross_entropy', { learningRate: 1e-2 });
const state = (await client.saveState('one')).path;
const sampler = (await client.saveWeightsForSampler('one')).path;
await service.close();
console.log(JSON.stringify({ state, sampler }));
`;

beforeAll(async () => {
  await ensureBuilt('lib');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules/lorikeet'), 'dir');
  const store = ['--store', join(folder, 'there')];
  const serve = firstLine(folder, [
    join(ROOT, 'bin/lorikeet.mjs'),
    'serve',
    '--port',
    '0',
    '--json',
    ...store,
  ]);
  server.stop = serve.stop;
  server.url = (JSON.parse(await serve.line) as { url: string }).url;
  const file = join(folder, 'program.mjs');
  writeFileSync(file, program(server.url));
  remote = JSON.parse(await firstLine(folder, [file]).line) as typeof remote;
});
afterAll(() => server.stop());

test('they are listed with those here, imported, and trained on', async () => {
  await ran([
    'finetune',
    '--data',
    rows,
    '--model',
    'tiny',
    '--steps',
    '1',
    '--name',
    'own',
    '--store',
    here,
  ]);
  const list = await json<{ items: { name: string }[]; server: { path: string; kind: string }[] }>(
    'checkpoints',
    'list',
    '--store',
    here,
    '--server',
    server.url,
  );
  expect(list.items.map(({ name }) => name)).toEqual(['final']);
  const paths = list.server.map(({ path }) => path.replace(/^\w+:/, ''));
  expect(paths.sort()).toEqual(
    [remote.sampler, remote.state].map((path) => path.replace(/^\w+:/, '')).sort(),
  );

  const get = ['checkpoints', 'import', remote.sampler, '--server', server.url, '--store', here];
  const added = await json<{ path: string }>(...get, '--run', 'fetched');
  expect(added).toMatchObject({ path: 'fetched/one', metadata: { baseModel: 'lorikeet-tiny' } });
  const shown = await json<{ serverObstacles: string[] }>('checkpoints', 'show', added.path, '--store', here);
  expect(shown.serverObstacles).toEqual([]);
  const own = await json<{ serverObstacles: string[] }>('checkpoints', 'show', 'own/final', '--store', here);
  expect(own.serverObstacles).toEqual(['alpha is 16, servers have 32']);
  const more = ['finetune', '--data', rows, '--model', 'tiny', '--steps', '1', '--init-adapter', added.path];
  const { stdout } = await ran([...more, '--store', here, '--name', 'on']);
  expect(stdout).toContain('Training loss');
});

test('what is not there, and a server that is not, are told by name', async () => {
  const missing = await lorikeet([
    'checkpoints',
    'import',
    remote.sampler.replace('/one', '/two'),
    '--server',
    server.url,
    '--store',
    here,
  ]);
  expect(errorOf(missing).code).toBe('CHECKPOINT_NOT_FOUND');
  const wrong = await lorikeet(['checkpoints', 'import', 'one', '--server', server.url, '--store', here]);
  expect(errorOf(wrong).code).toBe('CHECKPOINT_PATH');
});
