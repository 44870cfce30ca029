/** Paths that do not say their kind (`bios://<model>/<name>`, bare names): the kind that the call means, else the other. */
import type { BackendRegistry } from './backend.ts';
import { formatPath, kindOf, parseCheckpointPath, type ParsedCheckpointPath } from './paths.ts';

/** The path with the kind that is there. One that is nowhere stays as it is, for the call to refuse. */
export async function resolveKind(
  registry: Pick<BackendRegistry, 'listCheckpoints'>,
  path: ParsedCheckpointPath,
): Promise<ParsedCheckpointPath> {
  if (!path.kindAssumed || path.alias !== null) return path;
  const rows = await registry.listCheckpoints(path.runId).catch(() => []);
  const other = path.checkpointType === 'training' ? 'sampler' : 'training';
  const has = (type: 'training' | 'sampler'): boolean =>
    rows.some(({ checkpointId }) => checkpointId === `${kindOf(type)}/${path.name}`);
  if (has(path.checkpointType) || !has(other)) return path;
  return parseCheckpointPath(formatPath(path.scheme, path.runId, other, path.name));
}
