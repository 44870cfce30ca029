/** Runs and checkpoints: find, list, delete, publish, expire, download, promote. Nothing here needs a training client. */
import { attempt, oneOf, rejected } from './attempt.ts';
import type { AccessScope, BackendRegistry, SearchQuery, ServiceRequest } from './backend.ts';
import { deleteCheckpoints, type DeletePlan, type DeleteSelector } from './bulk-delete.ts';
import type { ClientHost } from './client-host.ts';
import { downloadArchive, type DownloadOptions, type DownloadResult } from './download.ts';
import { BadRequestError, NotFoundError } from './errors.ts';
import { createFuture, type ApiFuture } from './future.ts';
import { sortCheckpoints } from './list-order.ts';
import { checkTtl } from './parameters.ts';
import {
  formatPath,
  parseCheckpointId,
  parseCheckpointPath,
  type ParsedCheckpointPath,
  type PathScheme,
} from './paths.ts';
import { promoteCheckpoint, promoteLatest, type LegacyPromotion, type PromoteOptions } from './promote.ts';
import { resolveKind } from './resolve-kind.ts';
import { callSite } from './warnings.ts';
import type {
  Checkpoint,
  CheckpointArchiveUrlResponse,
  CheckpointsListResponse,
  TrainingRun,
  TrainingRunsResponse,
  WeightsInfoResponse,
} from './types.ts';

export interface ListOptions {
  limit?: number;
  offset?: number;
  /** Rows of a page; 200 unless said otherwise. */
  pageSize?: number;
  pageToken?: string;
  order?: 'asc' | 'desc';
}

const count = (name: string, value: number, from: number): number => {
  if (Number.isSafeInteger(value) && value >= from) return value;
  throw new BadRequestError({
    message: `${name} is ${String(value)}; it must be a whole number from ${String(from)}.`,
  });
};

/** One page of a sorted list. Page tokens are offsets; a token that is none is refused. */
function pageOf(all: readonly Checkpoint[], o: ListOptions): CheckpointsListResponse {
  const order: 'asc' | 'desc' = oneOf<'asc' | 'desc'>('order', o.order ?? 'asc', ['asc', 'desc']);
  const sorted = sortCheckpoints(all, order);
  if (o.pageToken !== undefined && !/^\d{1,15}$/.test(o.pageToken)) {
    throw new BadRequestError({ message: `${JSON.stringify(o.pageToken)} is no page token.` });
  }
  const offset = count('offset', o.pageToken === undefined ? (o.offset ?? 0) : Number(o.pageToken), 0);
  const limit = count('limit', o.limit ?? o.pageSize ?? 200, 1);
  const page: CheckpointsListResponse = {
    checkpoints: sorted.slice(offset, offset + limit),
    cursor: { offset, limit, totalCount: sorted.length },
  };
  if (offset + limit < sorted.length) page.nextPageToken = String(offset + limit);
  return page;
}

/** Where it is, and in the cold store; throws where it is in neither. */
async function deleteOne(
  registry: BackendRegistry,
  path: ParsedCheckpointPath,
  { cold }: ClientHost,
): Promise<void> {
  const wasCold = await cold.remove(path);
  await registry.deleteCheckpoint(path).catch((error: unknown) => {
    if (!wasCold || !(error instanceof NotFoundError)) throw error;
  });
}

export class RestClient {
  readonly #host: Promise<ClientHost>;

  /** Made by a ServiceClient. */
  constructor(host: Promise<ClientHost>) {
    this.#host = host;
    host.catch(() => undefined);
  }

  #call<T>(work: (registry: BackendRegistry, host: ClientHost) => Promise<T>): ApiFuture<T> {
    return createFuture(async () => {
      const host = await this.#host;
      return work(host.backend.registry, host);
    });
  }

  #onPath<T>(
    path: string,
    work: (registry: BackendRegistry, path: ParsedCheckpointPath, host: ClientHost) => Promise<T>,
    assume: 'training' | 'sampler' = 'sampler',
  ): ApiFuture<T> {
    const parsed = attempt(() => parseCheckpointPath(path, { assume }));
    if (!parsed.ok) return rejected(parsed.error);
    return this.#call(async (registry, host) =>
      work(registry, await resolveKind(registry, parsed.value), host),
    );
  }

  #onId<T>(
    runId: string,
    checkpointId: string,
    work: (registry: BackendRegistry, path: ParsedCheckpointPath, host: ClientHost) => Promise<T>,
  ): ApiFuture<T> {
    return this.#call(async (registry, host) => {
      const { checkpointType, name } = parseCheckpointId(checkpointId);
      const scheme: PathScheme = host.backend.kind === 'local' ? 'lorikeet' : 'tinker';
      return work(registry, parseCheckpointPath(formatPath(scheme, runId, checkpointType, name)), host);
    });
  }

  #service(request: ServiceRequest): ApiFuture<unknown> {
    return this.#call((registry) => registry.service(request));
  }

  getTrainingRun(runId: string, options: { accessScope?: AccessScope } = {}): ApiFuture<TrainingRun> {
    return this.#call((registry) => registry.getTrainingRun(runId, options.accessScope ?? 'owned'));
  }

  /** The run that a checkpoint belongs to. */
  getTrainingRunByPath(path: string): ApiFuture<TrainingRun> {
    return this.#onPath(path, (registry, { runId }) => registry.getTrainingRun(runId, 'owned'));
  }

  listTrainingRuns(
    options: { limit?: number; offset?: number; accessScope?: AccessScope; projectId?: string } = {},
  ): ApiFuture<TrainingRunsResponse> {
    return this.#call((registry) =>
      registry.listTrainingRuns({
        limit: count('limit', options.limit ?? 20, 1),
        offset: count('offset', options.offset ?? 0, 0),
        scope: options.accessScope ?? 'owned',
        projectId: options.projectId ?? null,
      }),
    );
  }

  /** What a state checkpoint was trained with: base model, rank, what was trained. */
  getWeightsInfo(
    path: string,
    options: { weightsAccessToken?: string } = {},
  ): ApiFuture<WeightsInfoResponse> {
    return this.#onPath(
      path,
      (registry, parsed) => registry.weightsInfo(parsed, options.weightsAccessToken ?? null),
      'training',
    );
  }

  /** The checkpoints of a run, both kinds, by step, then in the order of saving; oldest first. */
  listCheckpoints(runId: string, options: ListOptions = {}): ApiFuture<CheckpointsListResponse> {
    return this.#call(async (registry, { cold }) =>
      pageOf(await cold.merged(runId, await registry.listCheckpoints(runId)), options),
    );
  }

  /** The checkpoints of all runs. */
  listUserCheckpoints(options: { limit?: number; offset?: number } = {}): ApiFuture<CheckpointsListResponse> {
    return this.#call((registry) =>
      registry.listUserCheckpoints({
        limit: count('limit', options.limit ?? 100, 1),
        offset: count('offset', options.offset ?? 0, 0),
      }),
    );
  }

  searchCheckpoints(query: SearchQuery = {}): ApiFuture<{ checkpoints: Checkpoint[]; nextCursor?: string }> {
    return this.#call((registry) => registry.searchCheckpoints(query));
  }

  deleteCheckpoint(runId: string, checkpointId: string): ApiFuture<void> {
    return this.#onId(runId, checkpointId, deleteOne);
  }

  deleteCheckpointFromPath(path: string): ApiFuture<void> {
    return this.#onPath(path, deleteOne);
  }

  /** Deletes what a selector finds. With `dryRun` it only says what that would be, and the bytes it would free. */
  deleteCheckpoints(selector: DeleteSelector, options: { dryRun?: boolean } = {}): ApiFuture<DeletePlan> {
    return this.#call((registry) => deleteCheckpoints(registry, selector, options.dryRun ?? false));
  }

  publishCheckpointFromPath(path: string): ApiFuture<void> {
    return this.#onPath(path, (registry, parsed) => registry.setPublic(parsed, true));
  }

  unpublishCheckpointFromPath(path: string): ApiFuture<void> {
    return this.#onPath(path, (registry, parsed) => registry.setPublic(parsed, false));
  }

  /** Short for publishCheckpointFromPath. */
  publish(path: string): ApiFuture<void> {
    return this.publishCheckpointFromPath(path);
  }

  /** Short for unpublishCheckpointFromPath. */
  unpublish(path: string): ApiFuture<void> {
    return this.unpublishCheckpointFromPath(path);
  }

  /** Seconds until the checkpoint is deleted; null removes the limit. */
  setCheckpointTtl(path: string, seconds: number | null): ApiFuture<void> {
    return this.#call(async (registry, { backend }) => {
      const ttl = checkTtl(seconds, backend.minTtlSeconds);
      await registry.setTtl(parseCheckpointPath(path, { assume: 'sampler' }), ttl);
    });
  }

  getCheckpointArchiveUrl(runId: string, checkpointId: string): ApiFuture<CheckpointArchiveUrlResponse> {
    return this.#onId(runId, checkpointId, (registry, path) => registry.archiveUrl(path));
  }

  getCheckpointArchiveUrlFromPath(path: string): ApiFuture<CheckpointArchiveUrlResponse> {
    return this.#onPath(path, (registry, parsed) => registry.archiveUrl(parsed));
  }

  /** Downloads a checkpoint as an archive: to a sink in constant memory, or, without one, as bytes. */
  downloadCheckpointArchive(path: string, options: DownloadOptions = {}): ApiFuture<DownloadResult> {
    return this.#onPath(path, async (registry, parsed, { cold }) => {
      await cold.warm(parsed);
      return downloadArchive(registry, parsed, options);
    });
  }

  /** Makes a named model of a sampler checkpoint. The id is checked before anything is written. */
  promoteCheckpoint(
    ...args:
      | [PromoteOptions | LegacyPromotion]
      | [jobId: string, checkpointId: string, outputModelId: string, baseModel: string]
  ): ApiFuture<{ modelId: string }> {
    const site = callSite();
    return this.#call((_, host) => promoteCheckpoint(host, args, site));
  }

  /** Promotes the checkpoint of the highest step of a run, among those that can be. */
  promoteLatest(
    runId: string,
    options: { outputModelId: string; baseModel: string },
  ): ApiFuture<{ modelId: string }> {
    return this.#call((_, host) => promoteLatest(host, runId, options));
  }

  listModels(): ApiFuture<{ modelId: string; baseModel: string; createTime: string }[]> {
    return this.#call((registry) => registry.listModels());
  }

  getCurrentCheckpointStorageUsage(): ApiFuture<Awaited<ReturnType<BackendRegistry['storageUsage']>>> {
    return this.#call((registry) => registry.storageUsage());
  }

  /** Brings in an adapter made elsewhere (PEFT, and what services of the family hand out). */
  importAdapter(
    files: ReadonlyMap<string, Uint8Array>,
    options: { name: string },
  ): ApiFuture<{ path: string }> {
    return this.#call((registry) => registry.importAdapter(files, options));
  }

  getSession(sessionId: string): ApiFuture<unknown> {
    return this.#service({ kind: 'getSession', sessionId });
  }

  listSessions(options: { limit?: number; offset?: number } = {}): ApiFuture<unknown> {
    return this.#service({ kind: 'listSessions', limit: options.limit ?? 20, offset: options.offset ?? 0 });
  }

  assignSessionProject(sessionId: string, projectId: string): ApiFuture<unknown> {
    return this.#service({ kind: 'assignSessionProject', sessionId, projectId });
  }

  exportSessionTrace(sessionId: string): ApiFuture<unknown> {
    return this.#service({ kind: 'exportSessionTrace', sessionId });
  }

  getSampler(samplerId: string): ApiFuture<unknown> {
    return this.#service({ kind: 'getSampler', samplerId });
  }

  getAuditLog(options: { limit?: number; offset?: number } = {}): ApiFuture<unknown> {
    return this.#service({ kind: 'getAuditLog', limit: options.limit ?? 20, offset: options.offset ?? 0 });
  }

  getBillingUsage(): ApiFuture<unknown> {
    return this.#service({ kind: 'getBillingUsage' });
  }

  whoami(): ApiFuture<unknown> {
    return this.#service({ kind: 'whoami' });
  }

  getExternalWeightsUrls(path: string): ApiFuture<unknown> {
    return this.#service({ kind: 'getExternalWeightsUrls', path });
  }

  externalWeightsUploadStart(body: Record<string, unknown>): ApiFuture<unknown> {
    return this.#service({ kind: 'externalWeightsUploadStart', body });
  }

  externalWeightsUploadFinish(body: Record<string, unknown>): ApiFuture<unknown> {
    return this.#service({ kind: 'externalWeightsUploadFinish', body });
  }
}
