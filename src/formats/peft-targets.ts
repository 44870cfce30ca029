/** Which modules an adapter covers, and with which rank and alpha, from its config and the tensors that are there. */
import type { LoraSettings } from './adapter.ts';
import { compareBytes } from './file-entry.ts';
import { someNames } from './file-set.ts';
import { invalidAdapter, type PeftConfig } from './peft-config.ts';
import { splitLayer } from './peft-order.ts';

/** PEFT's rule for names in a list: the whole path, or its end after a dot. */
function fits(path: string, entry: string): boolean {
  return path === entry || path.endsWith(`.${entry}`);
}

/** The value of a pattern table for a module: the first entry that fits. */
export function patternValue(
  pattern: readonly (readonly [string, number])[],
  path: string,
  otherwise: number,
): number {
  return pattern.find(([key]) => fits(path, key))?.[1] ?? otherwise;
}

const lastName = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

/** A layer between the first and the last that lacks a module the others have; null when there is none. */
function findGap(paths: readonly string[]): string | null {
  const layers = new Map<number, Set<string>>();
  const everywhere = new Set<string>();
  for (const path of paths) {
    const { layer, inner } = splitLayer(path);
    if (layer === Infinity) continue;
    everywhere.add(inner);
    layers.set(layer, (layers.get(layer) ?? new Set()).add(inner));
  }
  for (let layer = 0; layer <= Math.max(-1, ...layers.keys()); layer++) {
    for (const inner of everywhere) {
      if (layers.get(layer)?.has(inner) !== true) return `${inner} in layer ${String(layer)}`;
    }
  }
  return null;
}

function checkNamed(config: PeftConfig, paths: readonly string[], warnings: string[]): void {
  if (config.targets.kind !== 'list') return;
  const { entries } = config.targets;
  const stray = paths.find((path) => !entries.some((entry) => fits(path, entry)));
  if (stray !== undefined) {
    throw invalidAdapter(
      `There are tensors for ${stray}, which target_modules (${someNames(entries)}) does not name.`,
    );
  }
  const unused = entries.filter((entry) => !paths.some((path) => fits(path, entry)));
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
  const { targets } = config;
  const byName =
    targets.kind === 'all' || (targets.kind === 'list' && targets.entries.every((e) => !e.includes('.')));
  // Names alone mean every layer. A config that says otherwise is kept as the list of what is there.
  const wholeModel = byName && !config.partial;
  const gap = wholeModel ? findGap(paths) : null;
  if (gap !== null) throw invalidAdapter(`There are no tensors for ${gap}, but for other layers there are.`);

  const rankPattern: Record<string, number> = {};
  const alphaPattern: Record<string, number> = {};
  for (const path of paths) {
    const rank = patternValue(config.rankPattern, path, config.rank);
    const alpha = patternValue(config.alphaPattern, path, config.alpha);
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
