/** Set-up of the tests over recorded exchanges. */
import { afterEach } from 'vitest';
import { ServiceClient } from '../service-client.ts';
import type { Datum } from '../types.ts';
import type { LorikeetWarning } from '../warnings.ts';
import type { RemoteOptions } from './remote-backend.ts';
import {
  exchange,
  FAST,
  startReplay,
  type Exchange,
  type ReplayServer,
  type Version,
} from './testing-replay.ts';

export interface Setup {
  server: ReplayServer;
  service: ServiceClient;
  warnings: LorikeetWarning[];
  codes: () => string[];
}

const open: Setup[] = [];

afterEach(async () => {
  for (const { service, server } of open.splice(0)) {
    server.fault = null;
    await service.close();
    await server.close();
  }
});

/** A replay server and a service on it; both are closed after the test. */
export async function setUp(
  version: Version,
  options: Partial<RemoteOptions> = {},
  extra: Partial<Exchange>[] = [],
): Promise<Setup> {
  const server = await startReplay(version, extra);
  const warnings: LorikeetWarning[] = [];
  const service = new ServiceClient({
    backend: { baseUrl: server.url, ...options, timing: { ...FAST, ...options.timing } },
    onWarning: (warning) => warnings.push(warning),
    env: {},
  });
  const setup = { server, service, warnings, codes: () => warnings.map(({ code }) => code) };
  open.push(setup);
  return setup;
}

interface WireDatum {
  model_input: { chunks: { tokens: number[] }[] };
  loss_fn_inputs: Record<string, { data: number[] }>;
}

/** The batch of a recorded request, as a program would write it. */
export function dataOf(version: Version, number: number): Datum[] {
  const body = exchange(version, number).requestBody as Record<string, { data: WireDatum[] }>;
  const input = body['forward_backward_input'] ?? body['forward_input'];
  return (input?.data ?? []).map((datum) => ({
    modelInput: { chunks: [{ type: 'encoded_text', tokens: datum.model_input.chunks[0]?.tokens ?? [] }] },
    lossFnInputs: Object.fromEntries(
      Object.entries(datum.loss_fn_inputs).map(([key, { data }]) => [key, data]),
    ),
  }));
}

/** The client of the recording's first model: rank 8, seed 0. */
export const firstClient = (service: ServiceClient) =>
  service.createLoraTrainingClient('tiny-qwen3', { rank: 8, seed: 0 });
