/**
 * Checkpoint paths: `lorikeet://<run>/(weights|sampler_weights)/<name>`, with `tinker://` and `bios://` as aliases.
 * Parsed by hand: run ids of servers may hold ":", which URL parsers take for a port. Nothing is percent-decoded.
 */
import { InvalidCheckpointPathError } from './own-errors.ts';
import type { CheckpointType } from './types.ts';

export type PathScheme = 'lorikeet' | 'tinker' | 'bios';
export type PathKind = 'weights' | 'sampler_weights';

export interface ParsedCheckpointPath {
  /** Three segments, with the scheme as given. */
  path: string;
  scheme: PathScheme;
  runId: string;
  checkpointType: CheckpointType;
  name: string;
  /** `<kind>/<name>`. */
  checkpointId: string;
  /** The path did not say its kind (`bios://<model>/<name>`, a bare name), so the other one may be meant. */
  kindAssumed: boolean;
  /** `latest` or `best` for a moving alias. */
  alias: 'latest' | 'best' | null;
}

export interface ParseOptions {
  /** The kind of a path that does not say it: training for loads, sampler for sampling and downloads. */
  assume?: CheckpointType;
  /** The run of a bare name. */
  currentRun?: string;
}

const MAX_SEGMENT = 255;
const SCHEMES: readonly string[] = ['lorikeet', 'tinker', 'bios'] satisfies PathScheme[];

export const kindOf = (type: CheckpointType): PathKind =>
  type === 'training' ? 'weights' : 'sampler_weights';

/** Writes a path. The parts are taken as they are. */
export const formatPath = (scheme: PathScheme, runId: string, type: CheckpointType, name: string): string =>
  `${scheme}://${runId}/${kindOf(type)}/${name}`;

const shown = (text: string): string => JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text);

function refuse(text: string, why: string): never {
  throw new InvalidCheckpointPathError({ message: `${shown(text)} is no checkpoint path: ${why}.` });
}

function checkSegment(text: string, segment: string, what: string): void {
  if (segment === '') refuse(text, `its ${what} is empty`);
  if (segment.length > MAX_SEGMENT)
    refuse(text, `its ${what} has ${String(segment.length)} characters, at most 255`);
  // Control characters and spaces are in no id; "?" and "#" would start what URLs call query and fragment.
  // eslint-disable-next-line no-control-regex
  const bad = /[\u0000-\u0020\u007f?#/\\]/u.exec(segment);
  if (bad !== null) refuse(text, `its ${what} holds ${JSON.stringify(bad[0])}`);
  if (segment === '.' || segment === '..') refuse(text, `its ${what} is ${JSON.stringify(segment)}`);
}

function isScheme(text: string): text is PathScheme {
  return SCHEMES.includes(text);
}

/**
 * Reads a path, or a bare name where a current run is given. Throws InvalidCheckpointPathError.
 * @example parseCheckpointPath('lorikeet://a1b2/weights/step-000500').checkpointId // 'weights/step-000500'
 */
export function parseCheckpointPath(text: string, options: ParseOptions = {}): ParsedCheckpointPath {
  if (typeof text !== 'string') refuse(String(text), 'it is no text');
  const split = text.indexOf('://');
  if (split < 0) {
    if (options.currentRun === undefined || text.includes('/')) refuse(text, 'it has no scheme');
    return build(text, 'lorikeet', options.currentRun, options.assume ?? 'training', text, true);
  }
  const scheme = text.slice(0, split);
  if (!isScheme(scheme)) refuse(text, 'its scheme is not lorikeet, tinker or bios');
  const [runId = '', second = '', third, ...more] = text.slice(split + 3).split('/');
  if (more.length > 0) refuse(text, `it has ${String(3 + more.length)} segments, at most 3`);
  if (third === undefined) {
    // Two segments: Bios writes them for both kinds, SkyRL for sampler weights.
    if (scheme === 'lorikeet') refuse(text, 'it has 2 segments, not 3');
    const type = scheme === 'tinker' ? 'sampler' : (options.assume ?? 'training');
    return build(text, scheme, runId, type, second, scheme === 'bios');
  }
  if (second !== 'weights' && second !== 'sampler_weights') {
    refuse(text, `its kind is ${JSON.stringify(second)}, not weights or sampler_weights`);
  }
  return build(text, scheme, runId, second === 'weights' ? 'training' : 'sampler', third, false);
}

function build(
  text: string,
  scheme: PathScheme,
  runId: string,
  checkpointType: CheckpointType,
  name: string,
  kindAssumed: boolean,
): ParsedCheckpointPath {
  checkSegment(text, runId, 'run');
  checkSegment(text, name, 'name');
  const alias = name === '@latest' ? 'latest' : name === '@best' ? 'best' : null;
  return {
    path: formatPath(scheme, runId, checkpointType, name),
    scheme,
    runId,
    checkpointType,
    name,
    checkpointId: `${kindOf(checkpointType)}/${name}`,
    kindAssumed,
    alias,
  };
}

/** Reads `<kind>/<name>`; a bare name is taken for a sampler checkpoint. Throws InvalidCheckpointPathError. */
export function parseCheckpointId(id: string): { checkpointType: CheckpointType; name: string } {
  const parts = id.split('/');
  const [kind = '', name] = parts;
  if (parts.length === 1) {
    checkSegment(id, kind, 'name');
    return { checkpointType: 'sampler', name: kind };
  }
  if (parts.length !== 2 || name === undefined || (kind !== 'weights' && kind !== 'sampler_weights')) {
    refuse(id, 'a checkpoint id is weights/<name> or sampler_weights/<name>');
  }
  checkSegment(id, name, 'name');
  return { checkpointType: kind === 'weights' ? 'training' : 'sampler', name };
}

const OUTSIDE = /^(gs|s3|az):\/\//;

/**
 * Turns a name, and the run it is in, into what load calls take: the name itself within the current run, a full path
 * with `sourceJobId`. Full paths, `cross_job://<job>/<name>`, addresses of stores and absolute folders are understood.
 */
export function resolveCheckpointPath(name: string, options: { sourceJobId?: string } = {}): string {
  const crossJob = /^cross_job:\/\/([^/]*)\/([^/]*)$/.exec(name);
  if (crossJob !== null) {
    return parseCheckpointPath(formatPath('lorikeet', crossJob[1] ?? '', 'training', crossJob[2] ?? '')).path;
  }
  if (OUTSIDE.test(name) || name.startsWith('/')) return name;
  if (name.includes('://')) return parseCheckpointPath(name).path;
  if (options.sourceJobId === undefined) {
    checkSegment(name, name, 'name');
    return name;
  }
  return parseCheckpointPath(formatPath('lorikeet', options.sourceJobId, 'training', name)).path;
}
