/** Where programs begin: makes training, sampling and REST clients on this machine's engine or on a server. */
import { attempt, oneOf, rejected } from './attempt.ts';
import type { Backend, ModelSpec, SamplerSource } from './backend.ts';
import type { CapabilityReport } from './capabilities.ts';
import type { ClientHost, RetryConfig } from './client-host.ts';
import { ColdShelf } from './cold-shelf.ts';
import type { ColdStore } from './cold-store.ts';
import { DeploymentSampler, type DeploymentSamplerOptions } from './deployment-sampler.ts';
import { BadRequestError } from './errors.ts';
import { createFuture, type ApiFuture, type WaitOptions } from './future.ts';
import { makeLocalBackend } from './local-seam.ts';
import { reduceLoss, type LossReduction } from './loss-reduction.ts';
import { openFromState, type OpenFromStateOptions } from './open-from-state.ts';
import { validateOutputModelId } from './output-model-id.ts';
import { ClientClosedError, UnsupportedFeatureError } from './own-errors.ts';
import { checkLora, checkMetadata, checkTtl } from './parameters.ts';
import { parseCheckpointPath } from './paths.ts';
import { promoteCheckpoint, type PromoteArguments } from './promote.ts';
import { ReferenceClient } from './reference-client.ts';
import { createRemoteBackend, type RemoteOptions } from './remote/remote-backend.ts';
import { resolveKind } from './resolve-kind.ts';
import { RestClient } from './rest-client.ts';
import { SamplingClient } from './sampling-client.ts';
import { TrainingClient } from './training-client.ts';
import type { ApiTokenizer, GetServerCapabilitiesResponse, LoraConfig } from './types.ts';
import { callSite, createWarningSink, type LorikeetWarning } from './warnings.ts';

export interface ServiceClientOptions {
  /** `local`, a server, or a backend of the caller's own. In Node, TINKER_BASE_URL stands in where it is left out. */
  backend?: 'local' | Backend | Partial<RemoteOptions>;
  /** Short for `backend: { baseUrl, apiKey }`. */
  baseUrl?: string;
  apiKey?: string;
  userMetadata?: Record<string, string>;
  projectId?: string;
  device?: unknown;
  store?: unknown;
  retry?: RetryConfig;
  /** Where checkpoints were moved to by a CheckpointManager's `archiveTo`: they are listed, and loads fetch them back. */
  coldStore?: ColdStore;
  /** `skyrl`: the engine of this machine takes means as SkyRL does, to compare runs; else losses are sums. */
  lossReduction?: LossReduction;
  onWarning?: (warning: LorikeetWarning) => void;
  /** Loads the tokenizer of a base model, for servers, which hand out none. */
  tokenizer?: (baseModel: string) => Promise<ApiTokenizer>;
  /** Stands in for the environment variables. */
  env?: Readonly<Record<string, string | undefined>>;
}

export interface CreateLoraOptions extends Omit<LoraConfig, 'rank'>, WaitOptions {
  rank?: number;
  userMetadata?: Record<string, string>;
  /** Modules by name instead of the three groups. */
  targetModules?: readonly string[];
}

export type FromStateOptions = Omit<OpenFromStateOptions, 'optimizer'> & WaitOptions;

interface NodeLike {
  process?: { env?: Readonly<Record<string, string | undefined>> };
}

const isBackend = (value: unknown): value is Backend =>
  typeof value === 'object' && value !== null && 'createModel' in value;

/** A server's options with what the environment adds; null for this machine. */
function remoteOptions(o: ServiceClientOptions): RemoteOptions | null {
  const env = o.env ?? (globalThis as unknown as NodeLike).process?.env ?? {};
  const given = typeof o.backend === 'object' && !isBackend(o.backend) ? o.backend : {};
  if (o.backend === 'local' || isBackend(o.backend)) return null;
  const baseUrl = given.baseUrl ?? o.baseUrl ?? env['TINKER_BASE_URL'];
  if (baseUrl === undefined) {
    if (o.backend === undefined) return null;
    throw new BadRequestError({
      message: 'The server has no baseUrl.',
      fix: 'Set backend.baseUrl or TINKER_BASE_URL.',
    });
  }
  const apiKey = given.apiKey ?? o.apiKey ?? env['TINKER_API_KEY'];
  const projectId = o.projectId ?? env['TINKER_PROJECT_ID'];
  return {
    ...given,
    baseUrl,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(projectId === undefined ? {} : { projectId }),
    ...(o.userMetadata === undefined ? {} : { userMetadata: o.userMetadata }),
  };
}

export class ServiceClient {
  /** What its clients share. Rejects where the backend cannot be made. */
  readonly host: Promise<ClientHost>;
  #closed = false;
  #closing: Promise<void> | null = null;

  /**
   * @example const service = new ServiceClient({ backend: { baseUrl: 'http://localhost:8000' } })
   */
  constructor(options: ServiceClientOptions = {}) {
    const warnings = createWarningSink(options.onWarning);
    const remote = remoteOptions(options);
    const { backend: given } = options;
    const makeBackend = async (): Promise<Backend> => {
      if (isBackend(given)) return given;
      if (remote !== null) return createRemoteBackend(remote, warnings);
      const { device, store, userMetadata = null } = options;
      return makeLocalBackend({ device, store, userMetadata, warnings });
    };
    this.host = makeBackend().then((made) => {
      const backend = reduceLoss(
        made,
        oneOf('lossReduction', options.lossReduction ?? 'sum', ['sum', 'skyrl']),
      );
      const cold = new ColdShelf(
        () => backend.registry,
        () => backend.label,
      );
      if (options.coldStore !== undefined) cold.attach(options.coldStore);
      const host: ClientHost = {
        backend,
        cold,
        warnings,
        tokenizer: options.tokenizer ?? null,
        retry: options.retry ?? {},
        openFromState: (path, o) => openFromState(host, path, o),
        openSampler: async (given, retry) => {
          const source =
            'modelPath' in given
              ? { modelPath: await resolveKind(backend.registry, given.modelPath) }
              : given;
          if ('modelPath' in source) await cold.warm(source.modelPath);
          return new SamplingClient(host, await backend.createSampler(source), retry);
        },
      };
      return host;
    });
    this.host.catch(() => undefined);
  }

  #call<T>(work: (host: ClientHost) => Promise<T>, options: WaitOptions = {}): ApiFuture<T> {
    return createFuture(async () => {
      if (this.#closed) throw new ClientClosedError({ message: 'The service client is closed.' });
      return work(await this.host);
    }, options);
  }

  /** The models that can be trained; locally those of the library. */
  getServerCapabilities(): ApiFuture<GetServerCapabilitiesResponse> {
    return this.#call(({ backend }) => backend.serverCapabilities());
  }

  /** What this backend can do, feature by feature, with a sentence each. */
  capabilities(): ApiFuture<CapabilityReport> {
    return this.#call(({ backend }) => backend.capabilities());
  }

  /** A client for a fresh adapter; resolves when it can be used. Rank and alpha are 32 unless said otherwise. */
  createLoraTrainingClient(baseModel: string, options: CreateLoraOptions = {}): ApiFuture<TrainingClient> {
    const spec = attempt((): ModelSpec => {
      if (typeof baseModel !== 'string' || baseModel === '')
        throw new BadRequestError({ message: 'The base model is required.' });
      return {
        baseModel,
        lora: checkLora(options),
        targetModules: options.targetModules ?? null,
        userMetadata:
          options.userMetadata === undefined ? null : checkMetadata(options.userMetadata, 'userMetadata'),
      };
    });
    if (!spec.ok) return rejected(spec.error);
    return this.#call(async (host) => {
      const { model } = await host.backend.createModel(spec.value, null);
      return new TrainingClient(host, model);
    }, options);
  }

  /** A client with the weights of a checkpoint and a fresh optimizer. */
  createTrainingClientFromState(path: string, options: FromStateOptions = {}): ApiFuture<TrainingClient> {
    return this.#fromState(path, false, options);
  }

  /** A client with weights and moments. Rejects with OptimizerStateMissingError rather than start cold. */
  createTrainingClientFromStateWithOptimizer(
    path: string,
    options: FromStateOptions = {},
  ): ApiFuture<TrainingClient> {
    return this.#fromState(path, true, options);
  }

  /** A client with everything restored; `client.loopState` says where the caller's loop goes on. */
  loadTrainingClient(path: string, options: FromStateOptions = {}): ApiFuture<TrainingClient> {
    return this.#fromState(path, true, options);
  }

  #fromState(path: string, optimizer: boolean, options: FromStateOptions): ApiFuture<TrainingClient> {
    const parsed = attempt(() => parseCheckpointPath(path, { assume: 'training' }));
    if (!parsed.ok) return rejected(parsed.error);
    return this.#call((host) => host.openFromState(path, { ...options, optimizer }), options);
  }

  /** A sampler of saved weights or of a base model: exactly one of the two. */
  createSamplingClient(options: {
    modelPath?: string;
    baseModel?: string;
    retryConfig?: RetryConfig;
  }): ApiFuture<SamplingClient> {
    const source = attempt(() => samplerSource(options));
    if (!source.ok) return rejected(source.error);
    return this.#call((host) => host.openSampler(source.value, options.retryConfig));
  }

  /** A sampler that takes and gives text, with an admission limit. */
  createDeploymentSampler(
    options: DeploymentSamplerOptions & { modelPath: string },
  ): ApiFuture<DeploymentSampler> {
    const source = attempt(() => samplerSource({ modelPath: options.modelPath }));
    if (!source.ok) return rejected(source.error);
    return this.#call(async (host) => new DeploymentSampler(await host.openSampler(source.value), options));
  }

  /** A frozen model: forward and computeLogprobs only. */
  createReferenceClient(options: { modelPath?: string; baseModel?: string }): ApiFuture<ReferenceClient> {
    const source = attempt(() => samplerSource(options));
    if (!source.ok) return rejected(source.error);
    return this.#call(async (host) => {
      if (options.modelPath !== undefined)
        return new ReferenceClient(await host.openFromState(options.modelPath, { optimizer: false }));
      const spec = {
        baseModel: options.baseModel ?? '',
        lora: checkLora({ rank: 1 }),
        targetModules: null,
        userMetadata: null,
      };
      // A fresh adapter changes nothing: its B is zero.
      const { model } = await host.backend.createModel(spec, null);
      return new ReferenceClient(new TrainingClient(host, model));
    });
  }

  /** Full-parameter training is not done here: Lorikeet trains adapters. */
  createBaseTrainingClient(): ApiFuture<never> {
    return this.#call(({ backend }) =>
      Promise.reject(
        new UnsupportedFeatureError({
          feature: 'createBaseTrainingClient',
          backend: backend.label,
          why: 'adapters are trained here, not whole models',
          fix: 'Use createLoraTrainingClient.',
        }),
      ),
    );
  }

  createRestClient(): RestClient {
    return new RestClient(this.host);
  }

  /** Copies a checkpoint into a run of its own, and resolves with its path. */
  copyWeights(
    sourcePath: string,
    options: { ttlSeconds?: number; weightsAccessToken?: string } = {},
  ): ApiFuture<string> {
    return this.#call(({ backend }) =>
      backend.registry.copyWeights(parseCheckpointPath(sourcePath, { assume: 'training' }), {
        ttlSeconds: checkTtl(options.ttlSeconds, backend.minTtlSeconds),
        weightsAccessToken: options.weightsAccessToken ?? null,
      }),
    );
  }

  /** Makes a named model of a sampler checkpoint. */
  promoteCheckpoint(...args: PromoteArguments): ApiFuture<{ modelId: string }> {
    const site = callSite();
    return this.#call((host) => promoteCheckpoint(host, args, site));
  }

  /** What is wrong with a model id; empty when it is valid. */
  validateOutputModelId(id: unknown): string[] {
    return validateOutputModelId(id);
  }

  /** Counters of this client. Nothing is sent anywhere. */
  getTelemetry(): ApiFuture<Readonly<Record<string, number>>> {
    return this.#call(async ({ backend }) => backend.telemetry());
  }

  /** A page that shows this session; null where there is none. */
  getConsoleUrl(): ApiFuture<string | null> {
    return this.#call(async ({ backend }) => backend.consoleUrl());
  }

  /** Finishes what was submitted and lets everything go. */
  close(): Promise<void> {
    this.#closed = true;
    this.#closing ??= this.host.then(
      ({ backend }) => backend.close(),
      () => undefined,
    );
    return this.#closing;
  }
}

function samplerSource(options: { modelPath?: string; baseModel?: string }): SamplerSource {
  const { modelPath, baseModel } = options;
  if (modelPath !== undefined && baseModel === undefined) {
    return { modelPath: parseCheckpointPath(modelPath, { assume: 'sampler' }) };
  }
  if (baseModel !== undefined && baseModel !== '' && modelPath === undefined) return { baseModel };
  throw new BadRequestError({ message: 'A sampler needs exactly one of modelPath and baseModel.' });
}
