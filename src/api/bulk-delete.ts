/** Deletes many checkpoints, after saying which. */
import type { BackendRegistry } from './backend.ts';
import { BadRequestError } from './errors.ts';
import { sortCheckpoints } from './list-order.ts';
import { parseCheckpointPath } from './paths.ts';
import type { Checkpoint, CheckpointType } from './types.ts';

export interface DeleteSelector {
  /** These, and nothing else. */
  paths?: readonly string[];
  /** Or those of a run, narrowed by the rest. */
  runId?: string;
  checkpointType?: CheckpointType;
  /** Times as ISO 8601; saved before or after. */
  before?: string;
  after?: string;
}

export interface DeletePlan {
  paths: string[];
  /** Of those whose size is known. */
  freedBytes: number;
  /** Pinned ones that the selector found; they stay. */
  kept: string[];
  deleted: boolean;
}

function time(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Date.parse(text);
  if (Number.isNaN(value))
    throw new BadRequestError({ message: `${name} is ${JSON.stringify(text)}, which is no time.` });
  return value;
}

async function find(registry: BackendRegistry, selector: DeleteSelector): Promise<Checkpoint[]> {
  const { paths, runId } = selector;
  if ((paths === undefined) === (runId === undefined)) {
    throw new BadRequestError({ message: 'A selector names either paths or a run.' });
  }
  if (paths !== undefined) {
    const wanted = paths.map((path) => parseCheckpointPath(path, { assume: 'sampler' }));
    const found: Checkpoint[] = [];
    for (const run of new Set(wanted.map((path) => path.runId))) {
      const listed = await registry.listCheckpoints(run);
      const ids = new Set(wanted.flatMap((path) => (path.runId === run ? [path.checkpointId] : [])));
      found.push(...listed.filter(({ checkpointId }) => ids.has(checkpointId)));
    }
    if (found.length < new Set(wanted.map(({ path }) => path)).size) {
      const known = new Set(
        found.map(({ path }) => parseCheckpointPath(path)).map((p) => `${p.runId}/${p.checkpointId}`),
      );
      const missing = wanted.find((path) => !known.has(`${path.runId}/${path.checkpointId}`));
      throw new BadRequestError({
        message: `There is no checkpoint ${missing?.path ?? ''}, so nothing was deleted.`,
      });
    }
    return found;
  }
  const [before, after] = [time('before', selector.before), time('after', selector.after)];
  const listed = await registry.listCheckpoints(runId ?? '');
  return sortCheckpoints(listed).filter((checkpoint) => {
    const saved = Date.parse(checkpoint.time);
    if (selector.checkpointType !== undefined && checkpoint.checkpointType !== selector.checkpointType)
      return false;
    return !(before !== null && !(saved < before)) && !(after !== null && !(saved > after));
  });
}

/** Finds, says, and unless it is a dry run deletes. Throws, with nothing deleted, where a named path is not there. */
export async function deleteCheckpoints(
  registry: BackendRegistry,
  selector: DeleteSelector,
  dryRun: boolean,
): Promise<DeletePlan> {
  const found = await find(registry, selector);
  const [kept, gone] = [found.filter(({ pinned }) => pinned), found.filter(({ pinned }) => !pinned)];
  if (!dryRun) for (const { path } of gone) await registry.deleteCheckpoint(parseCheckpointPath(path));
  return {
    paths: gone.map(({ path }) => path),
    freedBytes: gone.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0),
    kept: kept.map(({ path }) => path),
    deleted: !dryRun,
  };
}
