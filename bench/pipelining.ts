/**
 * What submitting ahead is worth: the same steps awaited call by call and submitted one batch ahead, in turns in one run, on
 * this machine's GPU and on a small server that is so many milliseconds away. Both ways must give the same bits.
 */
import type { Backend } from '../src/api/backend.ts';
import { startTinkerServer } from '../src/api/remote/testing-tinker-server.ts';
import { ServiceClient } from '../src/api/service-client.ts';
import type { TrainingClient } from '../src/api/training-client.ts';
import type { Datum } from '../src/api/types.ts';
import { createWarningSink } from '../src/api/warnings.ts';
import { describeAdapter } from '../src/engine/index.ts';
import { createLocalBackend } from '../src/local/local-backend.ts';
import { openModel } from '../src/run/open-model.ts';
import type { Context } from './context.ts';
import { openFolder, projectPath, temporaryStore } from './host.ts';
import { fixed, table } from './table.ts';
import { median } from './timing.ts';

const TINY = 'lorikeet-tiny';
const ADAM = { learningRate: 1e-3 };

interface Subject {
  name: string;
  service: ServiceClient;
  model: string;
  batch: (step: number) => Datum[];
  steps: number;
}

interface Figures {
  name: string;
  steps: number;
  /** Milliseconds of a step, the median of the rounds. */
  awaited: number;
  ahead: number;
  /** Awaited over ahead. */
  ratio: number;
}

type Numbers = (number | undefined)[];

async function awaited(client: TrainingClient, { batch, steps }: Subject): Promise<Numbers> {
  const seen: Numbers = [];
  for (let step = 0; step < steps; step++) {
    const { metrics } = await client.forwardBackward(batch(step), 'cross_entropy');
    await client.optimStep(ADAM);
    seen.push(metrics['loss:sum']);
  }
  return seen;
}

async function ahead(client: TrainingClient, { batch, steps }: Subject): Promise<Numbers> {
  const submit = (step: number) =>
    [client.forwardBackward(batch(step), 'cross_entropy'), client.optimStep(ADAM)] as const;
  const seen: Numbers = [];
  let next = submit(0);
  for (let step = 0; step < steps; step++) {
    const [forward, stepped] = next;
    if (step + 1 < steps) next = submit(step + 1);
    seen.push((await forward).metrics['loss:sum']);
    await stepped;
  }
  return seen;
}

/** Takes turns, so that what else the machine does hits both alike. The first round does not count. */
async function measure(subject: Subject, rounds: number): Promise<Figures> {
  const ways = [awaited, ahead];
  const samples: number[][] = [[], []];
  let expected = '';
  for (let round = 0; round <= rounds; round++) {
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const way = ways[i] ?? awaited;
      const client = await subject.service.createLoraTrainingClient(subject.model, { rank: 8, seed: 1 });
      const from = performance.now();
      const seen = JSON.stringify(await way(client, subject));
      const took = (performance.now() - from) / subject.steps;
      await client.dispose();
      if (round > 0) samples[i]?.push(took);
      if (expected === '') expected = seen;
      if (seen !== expected || seen.includes('null'))
        throw new Error(`${subject.name}: the losses differ between the two ways.`);
    }
  }
  const [one = NaN, other = NaN] = samples.map(median);
  return { name: subject.name, steps: subject.steps, awaited: one, ahead: other, ratio: one / other };
}

/** Sequences of random tokens, other ones in each step. */
function batchOf(vocabulary: number, rows: number, length: number): (step: number) => Datum[] {
  return (step) =>
    Array.from({ length: rows }, (_, row) => {
      const tokens = Array.from(
        { length: length + 1 },
        (__, i) => (7 + i * 31 + row * 101 + step * 17) % vocabulary,
      );
      return {
        modelInput: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
        lossFnInputs: { targetTokens: tokens.slice(1) },
      };
    });
}

async function localBackend({
  device,
  adapter,
}: Context): Promise<{ backend: Backend; remove: () => Promise<void> }> {
  const { store, remove } = await temporaryStore();
  const folder = await openFolder(projectPath(`public/models/${TINY}`));
  const { adapterInfo: info, limits, features } = device;
  const backend = createLocalBackend({
    host: {
      gpu: () =>
        Promise.resolve({ device, info: { ...describeAdapter({ info, limits, features }), name: adapter } }),
      store: () => Promise.resolve(store),
      models: () => Promise.resolve([{ modelName: TINY, maxContextLength: 512 }]),
      openModel: () => openModel(folder, TINY, new Date()),
      tuning: null,
      appVersion: 'bench',
      close: () => Promise.resolve(),
    },
    userMetadata: null,
    warnings: createWarningSink(() => undefined),
  });
  return { backend, remove };
}

const serviceOf = (backend: ConstructorParameters<typeof ServiceClient>[0]): ServiceClient =>
  new ServiceClient({ ...backend, env: {}, onWarning: () => undefined });

export async function pipeliningPart(context: Context): Promise<unknown> {
  const { quick, cpuClock } = context;
  // A step of a software adapter takes a thousand times as long, and the CPU has nothing else to do meanwhile.
  const software = cpuClock !== null;
  const rounds = quick ? 1 : software ? 3 : 6;
  const results: Figures[] = [];
  const { backend, remove } = await localBackend(context);
  const local = serviceOf({ backend });
  const sizes: [rows: number, length: number][] = software
    ? [[1, 32]]
    : [
        [1, 32],
        [4, 128],
      ];
  const steps = software ? 4 : quick ? 8 : 24;
  for (const [rows, length] of sizes) {
    const name = `this GPU, ${String(rows)} x ${String(length)} tokens`;
    const batch = batchOf(1000, rows, length);
    results.push(await measure({ name, service: local, model: TINY, batch, steps }, rounds));
  }
  await local.close();
  await remove();
  for (const latency of [2, 20, 100]) {
    const server = await startTinkerServer({ parallel_fwdbwd_chunks: true }, { latency, work: 20 });
    const remote = serviceOf({ backend: { baseUrl: server.url } });
    const name = `a server ${String(latency)} ms away, 20 ms a call`;
    const batch = batchOf(16, 2, 8);
    results.push(
      await measure({ name, service: remote, model: 'bigram', batch, steps: quick ? 4 : 8 }, quick ? 1 : 3),
    );
    await remote.close();
    await server.close();
  }
  context.print(
    table(
      ['milliseconds a step', 'awaited', 'ahead', 'awaited : ahead'],
      results.map(({ name, awaited: one, ahead: other, ratio }) => [
        name,
        fixed(one),
        fixed(other),
        fixed(ratio, 2),
      ]),
    ),
  );
  return results;
}
