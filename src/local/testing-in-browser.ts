/** What the browser test of this folder runs in its page: the package as a page imports it. */
import { ServiceClient, setAssetsUrl } from '../lib/browser.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { Datum } from '../api/types.ts';

const IDS = [1, 315, 202, 361, 307, 1301, 14, 21, 34, 2];
const DATA: Datum[] = [
  {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: IDS.slice(0, -1) }] },
    lossFnInputs: { targetTokens: IDS.slice(1) },
  },
];

async function steps(client: TrainingClient, count: number): Promise<number[]> {
  const seen: number[] = [];
  for (let i = 0; i < count; i++) {
    const pass = client.forwardBackward(DATA, 'cross_entropy');
    const stepped = client.optimStep({ learningRate: 5e-3 });
    const { lossFnOutputs } = await pass;
    await stepped;
    seen.push(...Array.from(lossFnOutputs[0]?.['logprobs']?.data ?? [], Number));
  }
  return seen;
}

/** Trains, saves, samples, and goes on from the save in another client. */
export async function trainAndResume(assets: string) {
  setAssetsUrl(assets);
  const service = new ServiceClient({ backend: 'local', env: {} });
  const client = await service.createLoraTrainingClient('lorikeet-tiny', {
    rank: 4,
    alpha: 8,
    seed: 3,
    trainUnembed: false,
  });
  const before = await steps(client, 2);
  const { path } = await client.saveState('two', { loopState: { step: 2 } });
  const straight = await steps(client, 2);
  const other = await service.createTrainingClientFromStateWithOptimizer(path);
  const resumed = await steps(other, 2);
  const sampler = await other.saveWeightsAndGetSamplingClient();
  const { sequences } = await sampler.sample(IDS.slice(0, 3), { samplingParams: { maxTokens: 4, seed: 1 } });
  await sampler.close();
  await service.close();
  return { before, straight, resumed, path, tokens: sequences[0]?.tokens ?? [] };
}

/** What another service, as after a reload, finds in the browser's store. */
export async function listed(runId: string): Promise<string[]> {
  const service = new ServiceClient({ backend: 'local', env: {} });
  const { checkpoints } = await service.createRestClient().listCheckpoints(runId);
  await service.close();
  return checkpoints.map(({ checkpointId }) => checkpointId);
}

export const inBrowser = { trainAndResume, listed };
Object.assign(globalThis, { inBrowser });
