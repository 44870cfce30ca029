/** Runs and checkpoints of a server. */
import { sleep } from '../backoff.ts';
import type { BackendRegistry, Download, ServiceRequest } from '../backend.ts';
import { NotFoundError } from '../errors.ts';
import { CheckpointNotFoundError, UnsupportedFeatureError } from '../own-errors.ts';
import { formatPath, kindOf, type ParsedCheckpointPath } from '../paths.ts';
import type { Checkpoint, TrainingRun, TrainingRunsResponse, WeightsInfoResponse } from '../types.ts';
import { errorOfReply, invalidAnswer, type Reply } from './answer.ts';
import { pollResult } from './poll.ts';
import type { RemoteContext } from './remote-context.ts';
import type { Request } from './transport.ts';
import { decodeCheckpoints, decodeTrainingRun, decodeWeightsInfo } from './wire-registry.ts';
import { isJson, reader } from './wire-read.ts';

const id = encodeURIComponent;
const RUNS_PAGE = 20;
/** Links hold for two hours on the servers that do not say it. */
const LINK_MS = 7_200_000;

/** Until when a link holds, by the answer's header where that is a time. */
function expiryOf(headers: Headers): string {
  const said = Date.parse(headers.get('expires') ?? '');
  return new Date(Number.isNaN(said) ? Date.now() + LINK_MS : said).toISOString();
}

export function createRemoteRegistry(context: () => Promise<RemoteContext>): BackendRegistry {
  const call = async (request: Request): Promise<{ reply: Reply; context: RemoteContext }> => {
    const c = await context();
    const reply = await c.transport.request({ ...request, signal: c.poll.signal }, { mode: 'safe' });
    return { reply, context: c };
  };
  const unsupported = async (feature: string, why?: string): Promise<never> => {
    const { traits } = await context();
    throw new UnsupportedFeatureError({
      feature,
      backend: traits.label,
      ...(why === undefined ? {} : { why }),
    });
  };
  const missing = (path: ParsedCheckpointPath) => (error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error;
    throw new CheckpointNotFoundError({ message: `There is no checkpoint ${path.path}.`, cause: error });
  };
  const routeOf = (path: ParsedCheckpointPath): string =>
    `training_runs/${id(path.runId)}/checkpoints/${kindOf(path.checkpointType)}/${id(path.name)}`;

  const getRun = async (runId: string): Promise<TrainingRun> => {
    const { reply, context: c } = await call({ method: 'GET', path: `training_runs/${id(runId)}` });
    const run = decodeTrainingRun(reply.body, 'training_runs');
    // What the server dropped is kept here.
    const kept = (await c.records.get(runId))?.userMetadata;
    return kept === undefined || run.userMetadata !== undefined ? run : { ...run, userMetadata: { ...kept } };
  };

  const listRuns = async (limit: number, offset: number, extra = ''): Promise<TrainingRunsResponse> => {
    const { reply } = await call({
      method: 'GET',
      path: `training_runs?limit=${String(limit)}&offset=${String(offset)}${extra}`,
    });
    const r = reader(reply.body, 'training_runs');
    const cursor = reader(r.record('cursor'), 'training_runs');
    return {
      trainingRuns: r.list('training_runs').map((run) => decodeTrainingRun(run, 'training_runs')),
      cursor: {
        offset: cursor.optionalNumber('offset') ?? offset,
        limit: cursor.optionalNumber('limit') ?? limit,
        totalCount: cursor.optionalNumber('total_count') ?? 0,
      },
    };
  };

  const listOf = async (runId: string): Promise<Checkpoint[]> => {
    const { reply, context: c } = await call({
      method: 'GET',
      path: `training_runs/${id(runId)}/checkpoints`,
    });
    const rows = decodeCheckpoints(reader(reply.body, 'checkpoints').list('checkpoints'), 'checkpoints');
    // An unknown run has an empty list on some servers.
    if (rows.length === 0) await getRun(runId);
    return Promise.all(
      rows.map(async (row) => {
        const kept = await c.records.get(row.path);
        if (kept === undefined) return row;
        const { metadata, loopState } = kept;
        return {
          ...row,
          ...(metadata === undefined ? {} : { metadata }),
          ...(loopState === undefined ? {} : { step: loopState.step }),
        };
      }),
    );
  };

  const weightsInfo = async (
    path: ParsedCheckpointPath,
    token: string | null,
  ): Promise<WeightsInfoResponse> => {
    const c = await context();
    const wire = formatPath('tinker', path.runId, path.checkpointType, path.name);
    const kept = await c.records.get(wire);
    const lora = kept?.lora;
    const known =
      lora === undefined
        ? {}
        : {
            trainMlp: lora.trainMlp,
            trainAttn: lora.trainAttn,
            trainUnembed: lora.trainUnembed,
            alpha: lora.alpha,
          };
    if (c.traits.dialect === 'skyrl' && path.checkpointType === 'sampler') {
      // weights_info takes training checkpoints only; the run says the same of the sampler's.
      const rows = await listOf(path.runId);
      if (!rows.some(({ checkpointId }) => checkpointId === path.checkpointId))
        missing(path)(new NotFoundError({ message: '' }));
      const run = await getRun(path.runId);
      return {
        baseModel: run.baseModel,
        isLora: run.isLora,
        ...(run.loraRank === undefined ? {} : { loraRank: run.loraRank }),
        ...known,
      };
    }
    const json = { tinker_path: wire, ...(token === null ? {} : { weights_access_token: token }) };
    const { reply } = await call({ method: 'POST', path: 'weights_info', json }).catch(missing(path));
    return { ...decodeWeightsInfo(reply.body, 'weights_info'), ...known };
  };

  const archiveAddress = async (path: ParsedCheckpointPath): Promise<{ url: string; expires: string }> => {
    const c = await context();
    const { traits, transport, timing } = c;
    if (path.checkpointType === 'training') {
      return unsupported('the archive of a training checkpoint', 'it hands out sampler weights only');
    }
    const name = traits.bareArchiveName ? id(path.name) : `${kindOf(path.checkpointType)}/${id(path.name)}`;
    const route = `training_runs/${id(path.runId)}/checkpoints/${name}/archive`;
    for (let i = 0; ; i++) {
      const response = await transport.open(`${transport.baseUrl}/api/v1/${route}`, {
        redirect: 'manual',
        signal: c.poll.signal,
      });
      const location = response.headers.get('location');
      if (response.status >= 300 && response.status < 400 && location !== null) {
        await response.body?.cancel();
        const url = new URL(location, `${transport.baseUrl}/`);
        return { url: url.href, expires: expiryOf(response.headers) };
      }
      // A relay follows the redirect itself: its own address is the one to use.
      if (response.status === 200 && !(response.headers.get('content-type') ?? '').includes('json')) {
        await response.body?.cancel();
        return { url: response.url, expires: expiryOf(response.headers) };
      }
      const text = await response.text();
      const body: unknown = text.startsWith('{') ? JSON.parse(text) : text;
      if (response.status === 200 && isJson(body)) {
        const r = reader(body, 'archive');
        return { url: r.text('url'), expires: r.text('expires') };
      }
      const error = errorOfReply('archive', {
        status: response.status,
        headers: response.headers,
        body,
        protobuf: null,
      });
      if (response.status === 503 && i + 1 < timing.archiveAttempts) {
        const wait = Number(response.headers.get('retry-after') ?? NaN);
        await sleep(Number.isFinite(wait) ? Math.min(wait, 300) : timing.archiveWaitSeconds, c.poll.signal);
        continue;
      }
      return Promise.reject(error).catch(missing(path));
    }
  };

  return {
    getTrainingRun: getRun,
    listTrainingRuns: ({ limit, offset, scope, projectId }) =>
      listRuns(
        limit,
        offset,
        `${scope === 'owned' ? '' : `&access_scope=${scope}`}${projectId === null ? '' : `&project_id=${id(projectId)}`}`,
      ),
    weightsInfo,
    listCheckpoints: listOf,
    listUserCheckpoints: async ({ limit, offset }) => {
      const c = await context();
      if (c.traits.dialect !== 'skyrl') {
        const { reply } = await call({
          method: 'GET',
          path: `checkpoints?limit=${String(limit)}&offset=${String(offset)}`,
        });
        return {
          checkpoints: decodeCheckpoints(
            reader(reply.body, 'checkpoints').list('checkpoints'),
            'checkpoints',
          ),
        };
      }
      // No such route: the runs are walked.
      const all: Checkpoint[] = [];
      for (let at = 0; ; at += RUNS_PAGE) {
        const { trainingRuns, cursor } = await listRuns(RUNS_PAGE, at);
        for (const { trainingRunId, baseModel } of trainingRuns) {
          all.push(...(await listOf(trainingRunId)).map((row) => ({ ...row, baseModel })));
        }
        if (trainingRuns.length === 0 || at + RUNS_PAGE >= cursor.totalCount) break;
      }
      all.sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
      return {
        checkpoints: all.slice(offset, offset + limit),
        cursor: { offset, limit, totalCount: all.length },
      };
    },
    searchCheckpoints: () =>
      unsupported('searchCheckpoints', 'it cannot search; list the checkpoints and filter them'),
    deleteCheckpoint: async (path) => {
      const { traits, warnings } = await context();
      if (!traits.deletes) {
        warnings.once({
          code: 'NO_DELETE',
          message: `${traits.label} cannot delete checkpoints: they stay on its disk.`,
        });
        return unsupported('deleteCheckpoint', 'it has no route for it');
      }
      await call({ method: 'DELETE', path: routeOf(path) }).catch(missing(path));
    },
    setPublic: async (path, value) => {
      const { traits } = await context();
      if (traits.dialect === 'skyrl')
        return unsupported(value ? 'publish' : 'unpublish', 'its checkpoints have no such flag');
      await call({ method: value ? 'POST' : 'DELETE', path: `${routeOf(path)}/publish` }).catch(
        missing(path),
      );
    },
    setTtl: async (path, seconds) => {
      const { traits } = await context();
      if (traits.dialect === 'skyrl') return unsupported('setCheckpointTtl', 'its checkpoints do not expire');
      await call({ method: 'PUT', path: `${routeOf(path)}/ttl`, json: { ttl_seconds: seconds } }).catch(
        missing(path),
      );
    },
    setPinned: () => unsupported('pin', 'pins are kept by the CheckpointManager'),
    archiveUrl: archiveAddress,
    download: async (path, request): Promise<Download> => {
      const { transport, poll } = await context();
      if (request.format !== null || request.layout !== null) {
        return unsupported(
          'a format of the archive',
          'it hands out what it has; import it locally to write other formats',
        );
      }
      const { url } = await archiveAddress(path);
      const signal =
        request.signal === undefined ? poll.signal : AbortSignal.any([poll.signal, request.signal]);
      const headers: Record<string, string> =
        request.from > 0 ? { Range: `bytes=${String(request.from)}-` } : {};
      const response = await transport.open(url, { headers, signal });
      if (!response.ok || response.body === null) {
        throw errorOfReply('download', {
          status: response.status,
          headers: response.headers,
          body: await response.text(),
          protobuf: null,
        });
      }
      const resumed = response.status === 206;
      // With a Content-Encoding the length would be that of other bytes.
      const length =
        response.headers.get('content-encoding') === null
          ? Number(response.headers.get('content-length') ?? NaN)
          : NaN;
      const from = resumed ? request.from : 0;
      const given = /filename="([^"/\\]+)"/.exec(response.headers.get('content-disposition') ?? '')?.[1];
      return {
        body: response.body,
        totalBytes: Number.isFinite(length) ? from + length : null,
        from,
        fileName: given ?? `${path.runId}_${path.name}.tar.gz`,
        sha256: null,
      };
    },
    promote: () => unsupported('promoteCheckpoint', 'download the archive and promote it locally'),
    listModels: () => unsupported('listModels'),
    copyWeights: async (path, { ttlSeconds, weightsAccessToken }) => {
      const { traits, session, poll, transport } = await context();
      if (traits.dialect === 'skyrl') return unsupported('copyWeights', 'it has no route for it');
      const { reply } = await call({
        method: 'POST',
        path: 'copy_weights',
        json: {
          session_id: session.id,
          model_seq_id: session.nextModelSeq(),
          source_path: formatPath('tinker', path.runId, path.checkpointType, path.name),
          ttl_seconds: ttlSeconds,
          weights_access_token: weightsAccessToken,
        },
      });
      const requestId = reader(reply.body, 'copy_weights').text('request_id');
      const answer = await pollResult({ ...poll, transport }, requestId, {
        what: 'copy_weights',
        seqId: null,
        resubmit: null,
      });
      return reader(answer.body, 'copy_weights').text('path');
    },
    storageUsage: async () => {
      const { traits } = await context();
      if (traits.dialect === 'skyrl')
        return unsupported('getCurrentCheckpointStorageUsage', 'it tells no sizes');
      const { reply } = await call({ method: 'GET', path: 'checkpoints/storage_usage' });
      const r = reader(reply.body, 'storage_usage');
      const used = r.optionalNumber('used_bytes') ?? r.optionalNumber('total_bytes');
      if (used === undefined) throw invalidAnswer('storage_usage', 'has no size');
      return {
        usedBytes: used,
        quotaBytes: r.optionalNumber('quota_bytes') ?? null,
        freeBytes: null,
        byRun: {},
      };
    },
    importAdapter: () => unsupported('importAdapter', 'adapters cannot be brought in over the protocol'),
    service: async (request) => {
      const route = serviceRoute(request);
      const { traits } = await context();
      const onSkyrl = request.kind === 'getSampler';
      if (route === null || (traits.dialect === 'skyrl' && !onSkyrl))
        return unsupported(request.kind, 'it has no route for it');
      return (await call(route)).reply.body;
    },
  };
}

function serviceRoute(request: ServiceRequest): Request | null {
  switch (request.kind) {
    case 'getSession':
      return { method: 'GET', path: `sessions/${id(request.sessionId)}` };
    case 'listSessions':
      return {
        method: 'GET',
        path: `sessions?limit=${String(request.limit)}&offset=${String(request.offset)}`,
      };
    case 'getSampler':
      return { method: 'GET', path: `samplers/${id(request.samplerId)}` };
    case 'assignSessionProject':
    case 'exportSessionTrace':
    case 'getAuditLog':
    case 'getBillingUsage':
    case 'whoami':
    case 'getExternalWeightsUrls':
    case 'externalWeightsUploadStart':
    case 'externalWeightsUploadFinish':
      // The protocol's published part names no routes for these.
      return null;
    default:
      return request satisfies never;
  }
}
