/** Checkpoints of a remote run: in the same list as those here, fetched, and gone on with on this machine. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ServiceClient } from '../../src/api/service-client.ts';
import { startCommand, type ServeCommand } from '../../src/serve/testing-command.ts';
import { errorOf, json, lorikeet, ran, scratch, someRows } from './lorikeet.ts';

const folder = scratch();
const rows = someRows(folder, 4);
const here = join(folder, 'here');
let server: ServeCommand;
let remote: { state: string; sampler: string };

beforeAll(async () => {
  server = await startCommand('--store', join(folder, 'there'));
  const service = new ServiceClient({ backend: { baseUrl: server.url }, onWarning: () => undefined });
  const client = await service.createLoraTrainingClient('lorikeet-tiny', { rank: 4, trainUnembed: false });
  const ids = [1, 315, 202, 361, 307, 1301, 14];
  const datum = {
    modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: ids.slice(0, -1) }] },
    lossFnInputs: { targetTokens: ids.slice(1) },
  };
  await client.train([datum], 'cross_entropy', { learningRate: 1e-2 });
  const state = (await client.saveState('one')).path;
  const sampler = (await client.saveWeightsForSampler('one')).path;
  remote = { state, sampler };
  await service.close();
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
