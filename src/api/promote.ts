/** Promotion: a sampler checkpoint becomes a named model. All checks come before anything is written. */
import type { ClientHost } from './client-host.ts';
import { BadRequestError } from './errors.ts';
import { sortCheckpoints } from './list-order.ts';
import { requireOutputModelId } from './output-model-id.ts';
import { BaseModelMismatchError, CheckpointNotFoundError, NotPromotableError } from './own-errors.ts';
import { formatPath, parseCheckpointId, parseCheckpointPath, type ParsedCheckpointPath } from './paths.ts';
import type { Checkpoint } from './types.ts';

export interface PromoteOptions {
  /** A row's `name` from listCheckpoints, or its path. */
  name: string;
  outputModelId: string;
  baseModel: string;
  /** Of deployments of former versions; ignored. */
  hotLoadDeploymentId?: string;
}

/** The older form; a deprecation warning names the new one. */
export interface LegacyPromotion {
  jobId: string;
  checkpointId: string;
  outputModelId: string;
  baseModel: string;
  hotLoadDeploymentId?: string;
}

export type PromoteArguments =
  | [PromoteOptions | LegacyPromotion]
  | [jobId: string, checkpointId: string, outputModelId: string, baseModel: string];

function normalize(host: ClientHost, args: PromoteArguments, site: string): PromoteOptions {
  const [first] = args;
  const legacy: LegacyPromotion | null =
    typeof first === 'string'
      ? { jobId: first, checkpointId: args[1] ?? '', outputModelId: args[2] ?? '', baseModel: args[3] ?? '' }
      : 'name' in first && first.name !== undefined
        ? null
        : (first as LegacyPromotion);
  if (typeof first === 'object' && first.hotLoadDeploymentId !== undefined) {
    host.warnings.deprecated(
      {
        code: 'LKD002',
        message: 'hotLoadDeploymentId is not needed and is ignored.',
        replacement: 'leave it out',
      },
      site,
    );
  }
  if (legacy === null) return first as PromoteOptions;
  host.warnings.deprecated(
    {
      code: 'LKD001',
      message: 'promoteCheckpoint by job and checkpoint id is the older form.',
      replacement: "promoteCheckpoint({ name, outputModelId, baseModel }) with a row's name",
    },
    site,
  );
  const { checkpointType, name } = parseCheckpointId(legacy.checkpointId);
  const scheme = host.backend.kind === 'local' ? 'lorikeet' : 'tinker';
  return { ...legacy, name: formatPath(scheme, legacy.jobId, checkpointType, name) };
}

/** `accounts/<a>/rlorTrainerJobs/<job>/checkpoints/<name>`, `<run>/<kind>/<name>` or a path. */
export function pathOfRowName(host: ClientHost, name: string): ParsedCheckpointPath {
  if (name.includes('://')) return parseCheckpointPath(name, { assume: 'sampler' });
  const scheme = host.backend.kind === 'local' ? 'lorikeet' : 'tinker';
  const fireworks = /^accounts\/[^/]+\/rlorTrainerJobs\/([^/]+)\/checkpoints\/([^/]+)$/.exec(name);
  if (fireworks !== null)
    return parseCheckpointPath(formatPath(scheme, fireworks[1] ?? '', 'sampler', fireworks[2] ?? ''));
  return parseCheckpointPath(`${scheme}://${name}`);
}

function requirePromotable(row: Checkpoint, baseModel: string): void {
  if (!row.promotable) {
    const why =
      row.checkpointType === 'training'
        ? 'it is a training checkpoint'
        : `it is ${row.state} and ${row.encoding}`;
    throw new NotPromotableError({ message: `${row.path} cannot be promoted: ${why}.` });
  }
  if (row.baseModel !== undefined && row.baseModel !== baseModel) {
    throw new BaseModelMismatchError({
      message: `${row.path} was trained on ${row.baseModel}, not on ${baseModel}.`,
      field: 'baseModel',
      expected: baseModel,
      actual: row.baseModel,
    });
  }
}

export async function promoteCheckpoint(
  host: ClientHost,
  args: PromoteArguments,
  site: string,
): Promise<{ modelId: string }> {
  const { name, outputModelId, baseModel } = normalize(host, args, site);
  requireOutputModelId(outputModelId);
  if (typeof baseModel !== 'string' || baseModel === '')
    throw new BadRequestError({ message: 'baseModel is required.' });
  const path = pathOfRowName(host, name);
  const { registry } = host.backend;
  await host.cold.warm(path);
  const rows = await registry.listCheckpoints(path.runId);
  const row = rows.find(({ checkpointId }) => checkpointId === path.checkpointId);
  if (row === undefined)
    throw new CheckpointNotFoundError({ message: `There is no checkpoint ${path.path}.` });
  requirePromotable(row, baseModel);
  return registry.promote(parseCheckpointPath(row.path), outputModelId);
}

export async function promoteLatest(
  host: ClientHost,
  runId: string,
  options: { outputModelId: string; baseModel: string },
): Promise<{ modelId: string }> {
  requireOutputModelId(options.outputModelId);
  const rows = await host.backend.registry.listCheckpoints(runId);
  const row = sortCheckpoints(rows.filter(({ promotable }) => promotable)).at(-1);
  if (row === undefined)
    throw new NotPromotableError({ message: `The run ${runId} has no checkpoint that can be promoted.` });
  requirePromotable(row, options.baseModel);
  return host.backend.registry.promote(parseCheckpointPath(row.path), options.outputModelId);
}
