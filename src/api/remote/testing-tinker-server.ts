/**
 * A small server of the official dialect for tests, over real sockets: protobuf both ways for training, JSON for the rest,
 * and requests of a model held back until those before them are there. The work is done by the tests' backend.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BackendModel } from '../backend.ts';
import { checkAdam, checkLora } from '../parameters.ts';
import { createBigramBackend } from '../testing-bigram-backend.ts';
import { prepareTrainingCall } from '../training-call.ts';
import type { LossFnType } from '../types.ts';
import { decodeForwardBackwardRequest, encodeForwardBackwardOutput } from './proto-training.ts';

type Json = Record<string, unknown>;

export interface TinkerServer {
  readonly url: string;
  /** seq_ids in the order in which they arrived. */
  readonly arrived: number[];
  /** Lets no work begin until what it gives is called. */
  hold(): () => void;
  close(): Promise<void>;
}

export interface TinkerServerOptions {
  /** How far away it is: every answer takes so long on its way, in milliseconds. */
  latency?: number;
  /** How long each piece of training takes, in milliseconds. */
  work?: number;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function startTinkerServer(
  config: Json,
  { latency = 0, work: busy = 0 }: TinkerServerOptions = {},
): Promise<TinkerServer> {
  const backend = createBigramBackend();
  if (busy > 0) backend.before = () => pause(busy);
  const models = new Map<string, { model: BackendModel; next: number; held: Map<number, () => void> }>();
  const futures = new Map<string, Promise<{ json?: Json; bytes?: Uint8Array }>>();
  const arrived: number[] = [];
  let accepted = 0;
  let gate: Promise<void> = Promise.resolve();

  /** Takes a number: what was held back for it begins. Numbers of refused requests are taken as well. */
  const take = (modelId: string, seqId: number, start: () => void): void => {
    const entry = models.get(modelId);
    if (entry === undefined) return;
    entry.held.set(seqId, start);
    for (let next = entry.held.get(entry.next); next !== undefined; next = entry.held.get(entry.next)) {
      entry.held.delete(entry.next);
      entry.next += 1;
      next();
    }
  };

  /** Runs the work when all requests with lower numbers have been taken. */
  const inOrder = (
    modelId: string,
    seqId: number,
    work: (model: BackendModel) => Promise<{ json?: Json; bytes?: Uint8Array }>,
  ): string => {
    arrived.push(seqId);
    const entry = models.get(modelId);
    if (entry === undefined) throw new Error(`There is no model ${modelId}.`);
    const id = String((accepted += 1));
    const future = new Promise<{ json?: Json; bytes?: Uint8Array }>((resolve, reject) => {
      take(modelId, seqId, () => {
        gate.then(() => work(entry.model)).then(resolve, reject);
      });
    });
    // Told to whoever asks for it.
    future.catch(() => undefined);
    futures.set(id, future);
    return id;
  };
  const turn = { seqId: 0, onQueueState: () => undefined };

  const answer = async (path: string, body: Buffer, response: ServerResponse): Promise<void> => {
    const isProto = response.req.headers['content-type'] === 'application/x-protobuf';
    const json: Json = isProto || body.length === 0 ? {} : (JSON.parse(body.toString()) as Json);
    const reply = (value: Json): void => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    switch (path) {
      case 'client/config':
        return reply(config);
      case 'create_session':
        return reply({ session_id: 's' });
      case 'get_server_capabilities':
        return reply({ supported_models: [{ model_name: 'bigram' }] });
      case 'create_model': {
        const { rank, seed } = json['lora_config'] as { rank: number; seed: number | null };
        const spec = {
          baseModel: 'bigram',
          lora: checkLora({ rank, seed: seed ?? 0 }),
          targetModules: null,
          userMetadata: null,
        };
        const { model } = await backend.createModel(spec, null);
        models.set(model.runId, { model, next: 1, held: new Map() });
        futures.set('created', Promise.resolve({ json: { model_id: model.runId } }));
        return reply({ request_id: 'created' });
      }
      case 'forward_backward': {
        const request = decodeForwardBackwardRequest(body);
        const call = prepareTrainingCall(request.data, request.lossFn as LossFnType, request.lossFnConfig);
        const work = async (model: BackendModel) => {
          const { result } = await (request.forwardOnly
            ? model.forward(call, turn)
            : model.forwardBackward(call, turn));
          return { bytes: encodeForwardBackwardOutput(await result) };
        };
        return reply({ request_id: inOrder(request.modelId, request.seqId, work) });
      }
      case 'optim_step': {
        const given = json['adam_params'] as { learning_rate: number };
        const work = async (model: BackendModel) => {
          const adam = checkAdam({ learningRate: given.learning_rate });
          const { result } = await model.optimStep(
            { adam, gradAccumulationNormalization: 'none', emitGradNormMetrics: 'off' },
            turn,
          );
          return { json: { metrics: (await result).metrics ?? {} } };
        };
        return reply({ request_id: inOrder(json['model_id'] as string, json['seq_id'] as number, work) });
      }
      case 'weights_info':
      case 'load_weights':
        // It keeps no checkpoints.
        take(String(json['model_id']), Number(json['seq_id']), () => undefined);
        response.writeHead(404, { 'content-type': 'application/json' });
        response.end('{"detail":"Checkpoint not found"}');
        return undefined;
      case 'retrieve_future': {
        const id = json['request_id'] as string;
        const done = await futures.get(id)?.catch((error: unknown) => ({
          bytes: undefined,
          json: { error: (error as Error).message, category: 'user' },
        }));
        if (done?.bytes === undefined) return reply(done?.json ?? {});
        response.writeHead(200, { 'content-type': 'application/x-protobuf' });
        response.end(done.bytes);
        return undefined;
      }
      case 'unload_model':
        futures.set('unloaded', Promise.resolve({ json: {} }));
        return reply({ request_id: 'unloaded' });
      default:
        return reply({});
    }
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    if (latency > 0) await pause(latency);
    await answer((request.url ?? '').replace('/api/v1/', ''), Buffer.concat(parts), response);
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    arrived,
    hold: () => {
      let open: () => void = () => undefined;
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return open;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
