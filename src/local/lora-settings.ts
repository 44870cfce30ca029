/** The interface's LoRA options as the engine's settings, and back. */
import type { ModelSpec } from '../api/backend.ts';
import type { FullLoraConfig } from '../api/parameters.ts';
import { BadRequestError } from '../api/errors.ts';
import { resolveTargets, targetNames, type ModelConfig } from '../engine/index.ts';
import type { LoraSettings } from '../formats/adapter.ts';

/** By the last part of their path; GPT-2 names its attention layers by `attn.` in front. */
const isAttention = (name: string): boolean => /^(q|k|v|o)_proj$|^(attn\.)?c_attn$|^attn\.c_proj$/.test(name);

const HEAD = 'lm_head';

/** The layers of the groups that are to be trained. */
export function targetsOf(config: ModelConfig, lora: FullLoraConfig): string[] {
  const linear = targetNames(config);
  return [
    ...linear.filter((name) => (isAttention(name) ? lora.trainAttn : lora.trainMlp)),
    ...(lora.trainUnembed ? [HEAD] : []),
  ].sort();
}

/** The settings of a fresh adapter. Throws BadRequestError for a model that has no such layers. */
export function settingsOf(config: ModelConfig, spec: ModelSpec): LoraSettings {
  const wanted = spec.targetModules ?? targetsOf(config, spec.lora);
  if (wanted.length === 0) throw new BadRequestError({ message: 'No layer would be trained.' });
  return {
    rank: spec.lora.rank,
    alpha: spec.lora.alpha,
    dropout: 0,
    rslora: false,
    targetModules: resolveTargets(config, wanted),
    rankPattern: {},
    alphaPattern: {},
  };
}

/** What the interface says of settings: the groups, and the layers one by one where these are no whole groups. */
export function loraOf(
  config: ModelConfig,
  settings: LoraSettings,
): { lora: FullLoraConfig; targetModules: string[] | null } {
  const { rank, alpha, targetModules } = settings;
  const linear = targetNames(config);
  const has = (attention: boolean): boolean =>
    linear.some((name) => isAttention(name) === attention && targetModules.includes(name));
  const lora: FullLoraConfig = {
    rank,
    alpha,
    seed: null,
    trainAttn: has(true),
    trainMlp: has(false),
    trainUnembed: targetModules.includes(HEAD),
  };
  const whole = targetsOf(config, lora).join() === [...targetModules].sort().join();
  return { lora, targetModules: whole && settings.targetPaths === undefined ? null : [...targetModules] };
}
