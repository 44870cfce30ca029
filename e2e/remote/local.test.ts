// One program, unchanged but for where it runs: a real SkyRL server, and this machine, from the same adapter on the same rows.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { unpackTar } from 'modern-tar';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ServiceClient } from '../../src/lib/node.ts';
import type { TrainingClient } from '../../src/api/training-client.ts';
import { ROWS, runProgram, type ProgramOptions, type ProgramReport } from './program.ts';

const baseUrl = process.env['LORIKEET_REMOTE_URL'] ?? '';
const folder = process.env['LORIKEET_REMOTE_MODEL'] ?? '';
const baseModel = folder.split('/').at(-1) ?? '';
const tag = `p${Date.now().toString(36)}`;

// From its second step on, SkyRL's gradient is a little larger than PEFT's (norm 15.4451 where PEFT and this engine have 15.4354,
// on the first row alone), so the runs part slowly: the rate is small enough for four steps to stay together.
const options: ProgramOptions = {
  baseModel,
  rank: 8,
  seed: 11,
  rows: ROWS,
  steps: 4,
  learningRate: 5e-4,
  eps: 1e-8,
  tag,
};

let home: string;
let server: ServiceClient;
let here: ServiceClient;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'lorikeet-remote-'));
  server = new ServiceClient({ backend: { baseUrl }, env: {}, onWarning: () => undefined });
  here = new ServiceClient({
    backend: 'local',
    store: join(home, 'store'),
    lossReduction: 'skyrl',
    onWarning: () => undefined,
  });
});
afterAll(async () => {
  await here.close();
  await server.close();
  await rm(home, { recursive: true, force: true });
});

/** The adapter that the server begins with, brought into the store of this machine. */
async function importStart(client: TrainingClient): Promise<string> {
  const saved = await client.saveWeightsForSampler(`${tag}-start`);
  const { bytes } = await server.createRestClient().downloadCheckpointArchive(saved.path);
  const entries = await unpackTar(gunzipSync(bytes ?? new Uint8Array()));
  const content = new Map(
    entries.map(({ header, data }) => [header.name.replace(/^.*\//, ''), data ?? new Uint8Array()] as const),
  );
  expect([...content.keys()]).toContain('adapter_model.safetensors');
  const config = JSON.parse(Buffer.from(content.get('adapter_config.json') ?? []).toString()) as object;
  // The server names its own copy of the model; here the folder is the model.
  const named = { ...config, base_model_name_or_path: folder };
  const files = new Map<string, Uint8Array>([...content].filter(([name]) => name.startsWith('adapter_')));
  files.set('adapter_config.json', Buffer.from(JSON.stringify(named)));
  return (await here.createRestClient().importAdapter(files, { name: 'start' })).path;
}

it('learns the same on both', async () => {
  let start = '';
  const there: ProgramReport = await runProgram(server, {
    ...options,
    begin: async (service) => {
      const client = await service.createLoraTrainingClient(baseModel, { rank: 8, seed: 11 });
      start = await importStart(client);
      return client;
    },
  });
  const local = await runProgram(here, {
    ...options,
    baseModel: folder,
    begin: (service) => service.createTrainingClientFromState(start),
  });
  process.stderr.write(`server ${there.losses.join(' ')}\nhere   ${local.losses.join(' ')}\n`);
  there.losses.forEach((loss, i) => {
    expect(Math.abs((local.losses[i] ?? NaN) - loss)).toBeLessThan(1e-3 * Math.max(1, loss));
  });
  expect(local.withOptimizer).toEqual(local.uninterrupted);
  expect(local.weightsOnly).not.toEqual(local.uninterrupted);
  expect(local.sampled).toEqual(there.sampled);
});
