/** Whether a server of the Tinker family can train with a checkpoint's settings, and why not. */
import type { Manifest } from '../formats/manifest.ts';

/** Servers of the family fix it. */
const SERVER_ALPHA = 32;

/** Reasons against, as parts of a sentence; empty where it fits. What is not known counts as nothing against. */
export function serverObstacles(lora: Manifest['lora'] | undefined): string[] {
  if (lora === undefined) return [];
  const { alpha, dropout, rslora, targetPaths, rankPattern, alphaPattern } = lora;
  const patterns = Object.keys(rankPattern).length + Object.keys(alphaPattern).length;
  return [
    ...(alpha === SERVER_ALPHA ? [] : [`alpha is ${String(alpha)}, servers have ${String(SERVER_ALPHA)}`]),
    ...(dropout === 0 ? [] : [`dropout is ${String(dropout)}, servers have none`]),
    ...(rslora ? ['the scale is alpha / sqrt(rank)'] : []),
    ...(patterns > 0 ? ['rank or alpha differ between layers'] : []),
    ...(targetPaths === undefined ? [] : ['some layers of a kind are left out']),
  ];
}
