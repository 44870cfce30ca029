/** The backend of this machine for tests: the test's GPU, a store in a temporary folder, the embedded model. */
import { ServiceClient, type ServiceClientOptions } from '../api/service-client.ts';
import { createWarningSink, type LorikeetWarning } from '../api/warnings.ts';
import type { Datum } from '../api/types.ts';
import { temporaryStore } from '../checkpoints/testing-run.ts';
import { testDevice, testInfo } from '../engine/testing/gpu.ts';
import { openModel } from '../run/open-model.ts';
import { changedTiny, NOW, openTiny, tinyText } from '../run/testing.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { LocalHost } from './host.ts';
import { createLocalBackend } from './local-backend.ts';

export const TINY_ID = 'lorikeet-tiny';
/** The same weights under another configuration: another base model. */
export const OTHER_ID = 'lorikeet-other';

export interface TestService {
  service: ServiceClient;
  store: CheckpointStore;
  warnings: LorikeetWarning[];
  /** Another service on the same store, as another program would open it. */
  another(options?: Pick<ServiceClientOptions, 'coldStore'>): ServiceClient;
  remove(): Promise<void>;
}

export async function testService(): Promise<TestService> {
  const { store, remove } = await temporaryStore();
  const warnings: LorikeetWarning[] = [];
  const opened: ServiceClient[] = [];
  const another: TestService['another'] = (options = {}) => {
    const sink = createWarningSink((warning) => warnings.push(warning));
    const backend = createLocalBackend({ host: testHost(store), userMetadata: null, warnings: sink });
    const service = new ServiceClient({
      ...options,
      backend,
      onWarning: (warning) => warnings.push(warning),
    });
    opened.push(service);
    return service;
  };
  const service = another();
  // The weights and the compiled kernels stay as long as somebody uses them: this client does, through all tests of a file.
  await service.createLoraTrainingClient(TINY_ID, { rank: 1, trainUnembed: false });
  return {
    service,
    store,
    warnings,
    another,
    remove: async () => {
      for (const service of opened) await service.close();
      await remove();
    },
  };
}

export function testHost(store: CheckpointStore): LocalHost {
  return {
    gpu: () => Promise.resolve({ device: testDevice(), info: testInfo() }),
    store: () => Promise.resolve(store),
    models: () => Promise.resolve([{ modelName: TINY_ID, maxContextLength: 512 }]),
    openModel: async (name) => {
      if (name === TINY_ID) return openTiny();
      if (name !== OTHER_ID) throw new Error(`There is no model ${name} in the tests.`);
      const config = tinyText('config.json').replace(/("rms_norm_eps":\s*)[^,\s]+/, '$12e-5');
      return openModel(await changedTiny({ 'config.json': config }), OTHER_ID, NOW);
    },
    tuning: null,
    appVersion: 'test',
    close: () => Promise.resolve(),
  };
}

/** A sequence whose tokens after `prompt` are trained, each by `weight`. */
export function datumOf(tokens: readonly number[], prompt: number, weight = 1): Datum {
  return {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
    lossFnInputs: {
      targetTokens: tokens.slice(1),
      weights: tokens.slice(1).map((_, i) => (i + 1 >= prompt ? weight : 0)),
    },
  };
}

/** Some sequences of the embedded model's vocabulary. */
export const SOME_DATA: readonly Datum[] = [
  datumOf([1, 315, 202, 361, 307, 1301, 14, 21, 34, 2], 4),
  datumOf([1, 316, 202, 1159, 307, 1590, 17, 2, 202], 3, 0.5),
  datumOf([1, 830, 202, 37, 72, 724, 17, 2, 202, 1, 315], 5),
];
