/**
 * Which server this is, by what it does: servers of the family differ, and two that call themselves the same version do
 * too. Found out once, from client/config and one request that changes nothing.
 */
import type { ChunkLimits } from '../backend.ts';
import { DEFAULT_LIMITS } from '../chunking.ts';
import { APIStatusError } from '../errors.ts';
import { LOCAL_NAMES, SKYRL_NAMES, type NameRule } from '../names.ts';
import type { Transport } from './transport.ts';
import { isJson, type Json } from './wire-read.ts';

export type Dialect = 'tinker' | 'skyrl' | 'tuft';

export interface Traits {
  dialect: Dialect;
  label: string;
  /** The same seq_id and body give the same future, so a training request can be sent again. */
  idempotentSeq: boolean;
  /** `optimizer: false` is obeyed on load. */
  optimizerFlag: boolean;
  /** There is a route to delete checkpoints. */
  deletes: boolean;
  /** The loss is a mean, over weights and over sequences; metrics are empty; one slot serves training and sampling. */
  skyrlJax: boolean;
  /** Forward and backward go out as protobuf. */
  protobuf: boolean;
  /** Sparse tensors and 2-D targets are read. */
  sparse: boolean;
  names: NameRule;
  minTtlSeconds: number;
  limits: ChunkLimits;
  createViaLoad: boolean;
  /** Requests carry a short-lived token that auth/token gives for the key. */
  tokens: boolean;
  /** One request tells which samples of a session are done. */
  sessionFutures: boolean;
  /** The archive route wants the bare name. */
  bareArchiveName: boolean;
}

const number = (config: Json, key: string, fallback: number): number => {
  const value = config[key];
  return typeof value === 'number' && Number.isFinite(value) && value >= 1 ? value : fallback;
};

function limitsOf(config: Json, dialect: Dialect): ChunkLimits {
  return {
    maxDatums: number(config, 'fwdbwd_max_chunk_len', DEFAULT_LIMITS.maxDatums),
    maxBytes: number(config, 'fwdbwd_max_chunk_bytes_count', DEFAULT_LIMITS.maxBytes),
    // The official service takes the parts of a call at once; the others one after another.
    parallel: dialect === 'tinker' && config['parallel_fwdbwd_chunks'] !== false,
  };
}

/** SkyRL's client/config says one thing only. */
function guess(config: Json): Dialect {
  const keys = Object.keys(config);
  return keys.every((key) => key === 'pjwt_auth_enabled') ? 'skyrl' : 'tinker';
}

/** Whether SkyRL has the deletion route: 400 for a bare name if it has, 404 if not. Deletes nothing either way. */
async function skyrlIsNewer(transport: Transport, signal: AbortSignal): Promise<boolean> {
  const reply = await transport
    .request({ method: 'DELETE', path: 'training_runs/model_0/checkpoints/x', signal }, { mode: 'safe' })
    .catch((error: unknown) => {
      const status = (error as { status?: unknown }).status;
      if (typeof status === 'number' && status >= 400 && status < 500) return { status };
      throw error;
    });
  return reply.status === 400;
}

export interface DialectOptions {
  transport: Transport;
  wanted: Dialect | 'auto';
  encoding: 'auto' | 'json' | 'protobuf';
  sdkVersion: string;
  signal: AbortSignal;
}

/** What may change from day to day, over what client/config says. Many servers have no such route. */
async function dynamicConfig({ transport, sdkVersion, signal }: DialectOptions): Promise<Json> {
  const json = { sdk_version: sdkVersion };
  const reply = await transport
    .request({ method: 'POST', path: 'client/dynamic_config', json, signal }, { mode: 'safe' })
    .catch((error: unknown) => {
      if (error instanceof APIStatusError) return { body: {} };
      throw error;
    });
  return isJson(reply.body) ? reply.body : {};
}

export async function findTraits(o: DialectOptions): Promise<Traits> {
  const reply = await o.transport
    .request(
      { method: 'POST', path: 'client/config', json: { sdk_version: o.sdkVersion }, signal: o.signal },
      { mode: 'safe' },
    )
    .catch((error: unknown) => {
      // Older servers have no such route.
      if ((error as { status?: unknown }).status === 404) return { body: {} };
      throw error;
    });
  const fixed = isJson(reply.body) ? reply.body : {};
  const dialect = o.wanted === 'auto' ? guess(fixed) : o.wanted;
  const config = dialect === 'skyrl' ? fixed : { ...fixed, ...(await dynamicConfig(o)) };
  const limits = limitsOf(config, dialect);
  const protobuf = o.encoding === 'protobuf' || (o.encoding === 'auto' && dialect !== 'skyrl');
  if (dialect !== 'skyrl') {
    return {
      dialect,
      label: dialect === 'tinker' ? 'the Tinker service' : 'TuFT',
      idempotentSeq: true,
      optimizerFlag: true,
      deletes: true,
      skyrlJax: false,
      protobuf,
      sparse: true,
      names: LOCAL_NAMES,
      minTtlSeconds: dialect === 'tinker' ? 3600 : 1,
      limits,
      createViaLoad: config['create_model_via_load_weights'] === true,
      tokens: config['pjwt_auth_enabled'] === true,
      sessionFutures: config['sample_use_retrieve_futures'] === true,
      bareArchiveName: false,
    };
  }
  const newer = await skyrlIsNewer(o.transport, o.signal);
  return {
    dialect,
    label: newer ? 'SkyRL' : 'SkyRL (release 0.3.0)',
    idempotentSeq: newer,
    optimizerFlag: newer,
    deletes: newer,
    skyrlJax: true,
    protobuf: protobuf && newer,
    sparse: false,
    names: SKYRL_NAMES,
    minTtlSeconds: 1,
    limits,
    createViaLoad: false,
    tokens: false,
    sessionFutures: false,
    bareArchiveName: true,
  };
}
