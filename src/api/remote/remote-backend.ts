/** A server that speaks the Tinker protocol, as a backend. Nothing is sent before the first call. */
import type {
  Backend,
  BackendSampler,
  CreatedModel,
  LoadRequest,
  ModelSpec,
  SamplerSource,
} from '../backend.ts';
import { sleep } from '../backoff.ts';
import type { CapabilityReport } from '../capabilities.ts';
import { BadRequestError } from '../errors.ts';
import { createLimiter } from '../limiter.ts';
import { LOCAL_NAMES } from '../names.ts';
import { ClientClosedError } from '../own-errors.ts';
import type { GetServerCapabilitiesResponse } from '../types.ts';
import type { WarningSink } from '../warnings.ts';
import { recordOf } from './answer.ts';
import { createAuthToken } from './auth-token.ts';
import { findTraits, type Dialect, type Traits } from './dialect.ts';
import { remoteCapabilities } from './remote-capabilities.ts';
import type { RemoteContext, RemoteRecords } from './remote-context.ts';
import { createRemoteModel } from './remote-create.ts';
import { createRemoteRegistry } from './remote-registry.ts';
import { createRemoteSampler } from './remote-sampler.ts';
import { startSession, type Session } from './session.ts';
import { createSnapshotGuard } from './snapshot-guard.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';
import { createTransport } from './transport.ts';
import { reader } from './wire-read.ts';

export interface RemoteOptions {
  baseUrl: string;
  apiKey?: string;
  dialect?: Dialect | 'auto';
  /** Address of a relay that stands before the server, for pages. */
  relayUrl?: string;
  projectId?: string;
  userMetadata?: Readonly<Record<string, string>>;
  /** The host's own unless given. */
  fetch?: typeof globalThis.fetch;
  timing?: Partial<Timing>;
  /** Waits up to an hour for the billing to be settled. */
  waitOnBilling?: boolean;
  /** What would be ignored with a warning is an error. */
  strict?: boolean;
  /** On SkyRL: scales advantages so that its mean is the sum, for one forwardBackward per step. */
  emulateSumLoss?: boolean;
  encoding?: 'auto' | 'json' | 'protobuf';
  /** Positions of the context, for servers that do not say. */
  contextLength?: number;
  /** Keeps what the server does not: metadata, loop state, train flags. In memory unless given. */
  records?: RemoteRecords;
  /** Polls that wait for an answer at once; 4 unless said otherwise, as pages have 6 connections to a host. */
  maxConcurrentPolls?: number;
}

const SDK_VERSION = '0.24.1';

function checkAddress(text: string, what: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new BadRequestError({ message: `${what} is ${JSON.stringify(text)}, which is no address.`, cause });
  }
  if (
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.username === '' &&
    url.search === '' &&
    url.hash === ''
  ) {
    return text.replace(/\/+$/, '').replace(/\/api\/v1$/, '');
  }
  throw new BadRequestError({ message: `${what} must be http or https, without user, query and fragment.` });
}

export function createRemoteBackend(o: RemoteOptions, warnings: WarningSink): Backend {
  const timing: Timing = { ...DEFAULT_TIMING, ...o.timing };
  const baseUrl = checkAddress(o.relayUrl ?? o.baseUrl, o.relayUrl === undefined ? 'baseUrl' : 'relayUrl');
  const closing = new AbortController();
  const waitOnBilling = o.waitOnBilling ?? false;
  const transport = createTransport({
    baseUrl,
    apiKey: o.apiKey ?? null,
    fetch: o.fetch ?? globalThis.fetch.bind(globalThis),
    timing,
    waitOnBilling,
  });
  const counters = { polls: 0, resubmits: 0 };
  const kept = new Map<string, Awaited<ReturnType<RemoteRecords['get']>>>();
  const records: RemoteRecords = o.records ?? {
    get: (key) => kept.get(key),
    set: (key, record) => void kept.set(key, record),
  };
  const models: RemoteContext['models'] = new Map();
  const guard = createSnapshotGuard();
  const dialectWanted = o.dialect ?? 'auto';
  let session: Session | null = null;
  let opening: Promise<RemoteContext> | null = null;

  let traits: Traits | null = null;

  const open = async (): Promise<RemoteContext> => {
    const found = await findTraits({
      transport,
      wanted: dialectWanted,
      encoding: o.encoding ?? 'auto',
      sdkVersion: SDK_VERSION,
      signal: closing.signal,
    });
    traits = found;
    const { apiKey } = o;
    if (found.tokens && apiKey !== undefined) {
      const headers = { 'X-API-Key': apiKey };
      const request = {
        method: 'POST',
        path: 'auth/token',
        json: {},
        headers,
        signal: closing.signal,
      } as const;
      transport.authenticate(
        createAuthToken({
          exchange: async () =>
            recordOf('auth/token', await transport.request(request, { mode: 'safe' }))['jwt'],
        }),
      );
    }
    session = await startSession({
      transport,
      timing,
      warnings,
      signal: closing.signal,
      sdkVersion: SDK_VERSION,
      userMetadata: o.userMetadata ?? null,
      projectId: o.projectId ?? null,
    });
    if (!found.idempotentSeq) {
      warnings.once({
        code: 'SEQ_ID_IGNORED',
        message: `${found.label} counts a repeated training request twice, so one whose answer was lost is not sent again but fails.`,
      });
    }
    return {
      transport,
      timing,
      warnings,
      traits: found,
      session,
      guard,
      records,
      poll: {
        transport,
        timing,
        polls: createLimiter(o.maxConcurrentPolls ?? 4),
        payload: createLimiter(50 * 2 ** 20),
        signal: closing.signal,
        waitOnBilling,
        count: (what) => {
          counters[what] += 1;
        },
      },
      strict: o.strict ?? false,
      emulateSumLoss: o.emulateSumLoss ?? false,
      contextLength: () => o.contextLength ?? null,
      dispatch: { training: createLimiter(50_000_000), sampling: createLimiter(10 * 2 ** 20) },
      freshSamplers: new Set(),
      models,
    };
  };

  /** Opens the session at the first call; a failure is that call's, and the next one tries again. */
  const context = (): Promise<RemoteContext> => {
    if (closing.signal.aborted) return Promise.reject(closing.signal.reason as Error);
    opening ??= open().catch((error: unknown) => {
      opening = null;
      throw error;
    });
    return opening;
  };

  const serverCapabilities = async (): Promise<GetServerCapabilitiesResponse> => {
    const reply = await transport.request(
      { method: 'GET', path: 'get_server_capabilities', signal: closing.signal },
      { mode: 'safe' },
    );
    const models = reader(reply.body, 'get_server_capabilities').list('supported_models');
    return {
      supportedModels: models.map((model) => {
        const r = reader(model, 'get_server_capabilities');
        const maxContextLength = r.optionalNumber('max_context_length') ?? o.contextLength;
        return {
          modelName: r.text('model_name'),
          ...(maxContextLength === undefined ? {} : { maxContextLength }),
        };
      }),
    };
  };

  return {
    kind: 'remote',
    // Known with the first model: names and times to live are checked after that.
    get label() {
      return traits?.label ?? 'The server';
    },
    get names() {
      return traits?.names ?? LOCAL_NAMES;
    },
    get minTtlSeconds() {
      return traits?.minTtlSeconds ?? 1;
    },
    registry: createRemoteRegistry(context),
    serverCapabilities,
    capabilities: async (): Promise<CapabilityReport> => remoteCapabilities((await context()).traits),
    createModel: async (spec: ModelSpec, load: LoadRequest | null): Promise<CreatedModel> =>
      createRemoteModel(await context(), spec, load, await serverCapabilities()),
    createSampler: async (source: SamplerSource): Promise<BackendSampler> =>
      createRemoteSampler(await context(), source),
    telemetry: () => ({ ...transport.counters, ...counters, models: models.size }),
    consoleUrl: () => null,
    close: async () => {
      if (closing.signal.aborted) return;
      const opened = await opening?.catch(() => null);
      // What was accepted is finished and the slots are freed, within a limit: a server that is gone frees them itself.
      const ending = Promise.allSettled([...models.values()].map((unload) => unload()));
      await Promise.race([ending, sleep(timing.closeSeconds, closing.signal)]);
      session?.end();
      if (opened !== null && opened !== undefined && opened.traits.dialect === 'tinker') {
        await transport
          .send({ method: 'POST', path: `sessions/${opened.session.id}/finish`, timeoutSeconds: 5 })
          .catch(() => undefined);
      }
      closing.abort(new ClientClosedError({ message: 'The service client is closed.' }));
    },
  };
}
