/** What the browser test of this folder runs in its page, and in Node for comparison; loaded there as a module. */
import { ServiceClient } from '../api/service-client.ts';
import type { RemoteOptions } from '../api/remote/remote-backend.ts';
import type { Datum } from '../api/types.ts';

const DATA: Datum[] = [
  [1, 2, 3, 1, 2, 3],
  [4, 5, 6, 7],
].map((tokens) => ({
  modelInput: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
  lossFnInputs: { targetTokens: tokens.slice(1) },
}));

/** Where the relay is. The server's own address is given as well, as programs do; the page never asks it. */
export type Place = Pick<RemoteOptions, 'baseUrl' | 'relayUrl' | 'timing'>;

const open = (place: Place): ServiceClient =>
  new ServiceClient({ backend: place, onWarning: () => undefined, env: {} });

/** Three steps, submitted ahead: their losses. */
export async function train(place: Place): Promise<number[]> {
  const service = open(place);
  const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 9 });
  const passes = [1, 2, 3].map(() => {
    const pass = client.forwardBackward(DATA, 'cross_entropy');
    void client.optimStep({ learningRate: 0.1 });
    return pass;
  });
  const losses: number[] = [];
  for (const pass of passes) losses.push((await pass).metrics?.['loss:sum'] ?? NaN);
  await service.close();
  return losses;
}

/** An archive, streamed: its hash, and in how many pieces it came. */
export async function download(place: Place) {
  const service = open(place);
  const rest = service.createRestClient();
  const path = 'tinker://run/sampler_weights/s';
  let pieces = 0;
  const { url, expires } = await rest.getCheckpointArchiveUrlFromPath(path);
  const { sha256, sizeBytes, fileName } = await rest.downloadCheckpointArchive(path, {
    sink: { write: () => void (pieces += 1) },
  });
  await service.close();
  return { sha256, sizeBytes, fileName, pieces, url, expires };
}

/** What becomes of requests that ask no leave, and of those that do. */
async function reach(url: string): Promise<Record<string, string>> {
  const attempt = (init?: RequestInit): Promise<string> =>
    fetch(url, init).then(
      (answer) => `${answer.type} ${String(answer.status)}`,
      (error: unknown) => (error as Error).name,
    );
  return {
    simple: await attempt(),
    form: await attempt({ method: 'POST', body: new URLSearchParams({ a: 'b' }) }),
    json: await attempt({ method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }),
    blind: await attempt({ mode: 'no-cors' }),
    image: await new Promise((resolve) => {
      const image = new Image();
      image.addEventListener('load', () => resolve('loaded'));
      image.addEventListener('error', () => resolve('refused'));
      image.src = url;
    }),
  };
}

/** The name of the error of a whole client. */
const trainFails = (place: Place): Promise<string> =>
  train(place).then(
    () => 'no error',
    (error: unknown) => (error as Error).name,
  );

export const inBrowser = { train, download, reach, trainFails };
Object.assign(globalThis, { inBrowser });
