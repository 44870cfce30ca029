/** Which modules an adapter covers, and with which rank and alpha, from its config and the tensors that are there. */
import type { LoraSettings } from './adapter.ts';
import { compareBytes } from './file-entry.ts';
import { someNames } from './file-set.ts';
import { invalidAdapter, type PeftConfig } from './peft-config.ts';
import { splitLayer } from './peft-order.ts';

/**
 * What may name a module in a list, by PEFT's rule: its whole path, or an end of it after a dot. Lists are looked up by
 * these, so that a long list over many modules takes no longer than the two together.
 */
function namesOf(path: string): string[] {
  const parts = path.split('.');
  return parts.map((_, i) => parts.slice(i).join('.'));
}

/** The value of a pattern table for a module: the first entry that fits. */
function patternTable(
  pattern: readonly (readonly [string, number])[],
): (path: string, otherwise: number) => number {
  const places = new Map<string, number>();
  pattern.forEach(([key], i) => places.set(key, places.get(key) ?? i));
  return (path, otherwise) => {
    const found = namesOf(path).flatMap((name) => places.get(name) ?? []);
    return pattern[Math.min(...found)]?.[1] ?? otherwise;
  };
}

const lastName = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

/** A layer (of `only`, where given) up to the last that lacks a module the others have; null when there is none. */
function findGap(paths: readonly string[], only: readonly number[] | null): string | null {
  const layers = new Map<number, Set<string>>();
  const everywhere = new Set<string>();
  for (const path of paths) {
    const { layer, inner } = splitLayer(path);
    if (layer === Infinity) continue;
    everywhere.add(inner);
    layers.set(layer, (layers.get(layer) ?? new Set()).add(inner));
  }
  const last = Math.max(-1, ...layers.keys());
  const limited = only === null ? null : new Set(only);
  for (let layer = 0; layer <= last; layer++) {
    if (limited?.has(layer) === false) continue;
    for (const inner of everywhere) {
      if (layers.get(layer)?.has(inner) !== true) return `${inner} in layer ${String(layer)}`;
    }
  }
  return null;
}

/** Tensors for modules that PEFT would not adapt: it would leave them out, and compute something else. */
function checkLimits({ targets, layers, excluded }: PeftConfig, paths: readonly string[]): void {
  const out = new Set(excluded);
  const outside = paths.find((path) => namesOf(path).some((name) => out.has(name)));
  if (outside !== undefined)
    throw invalidAdapter(`There are tensors for ${outside}, which exclude_modules takes out.`);
  if (layers === null) return;
  // PEFT limits names; a module that is given by its whole path is adapted in any layer.
  const byPath = new Set(targets.kind === 'list' ? targets.entries : []);
  const inside = new Set(layers);
  const beyond = paths.find((path) => !byPath.has(path) && !inside.has(splitLayer(path).layer));
  if (beyond === undefined) return;
  throw invalidAdapter(
    `There are tensors for ${beyond}, which layers_to_transform (${someNames(layers.map(String))}) leaves out.`,
  );
}

function checkNamed(config: PeftConfig, paths: readonly string[], warnings: string[]): void {
  if (config.targets.kind !== 'list') return;
  const { entries } = config.targets;
  const listed = new Set(entries);
  const stray = paths.find((path) => !namesOf(path).some((name) => listed.has(name)));
  if (stray !== undefined) {
    throw invalidAdapter(
      `There are tensors for ${stray}, which target_modules (${someNames(entries)}) does not name.`,
    );
  }
  const used = new Set(paths.flatMap(namesOf));
  const unused = entries.filter((entry) => !used.has(entry));
  if (unused.length > 0)
    warnings.push(`target_modules names ${someNames(unused)}, for which there are no tensors.`);
}

/** The settings of an adapter with tensors for these modules; throws where config and tensors contradict. */
export function resolveSettings(
  config: PeftConfig,
  paths: readonly string[],
  warnings: string[],
): LoraSettings {
  checkNamed(config, paths, warnings);
  checkLimits(config, paths);
  const { targets } = config;
  const byName =
    targets.kind === 'all' || (targets.kind === 'list' && targets.entries.every((e) => !e.includes('.')));
  // Names alone mean every layer. A config that says otherwise is kept as the list of what is there.
  const wholeModel = byName && !config.partial && config.layers === null;
  const gap = byName && !config.partial ? findGap(paths, config.layers) : null;
  if (gap !== null) throw invalidAdapter(`There are no tensors for ${gap}, but for other layers there are.`);

  const rankPattern: Record<string, number> = {};
  const alphaPattern: Record<string, number> = {};
  const rankOf = patternTable(config.rankPattern);
  const alphaOf = patternTable(config.alphaPattern);
  for (const path of paths) {
    const rank = rankOf(path, config.rank);
    const alpha = alphaOf(path, config.alpha);
    if (rank !== config.rank) rankPattern[path] = rank;
    if (alpha !== config.alpha) alphaPattern[path] = alpha;
  }
  return {
    rank: config.rank,
    alpha: config.alpha,
    dropout: config.dropout,
    rslora: config.rslora,
    targetModules: [...new Set(paths.map(lastName))].sort(compareBytes),
    ...(wholeModel ? {} : { targetPaths: [...paths].sort(compareBytes) }),
    rankPattern,
    alphaPattern,
  };
}
