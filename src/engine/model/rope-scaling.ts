/** Rotary position settings, from `rope_parameters` (new) or `rope_theta` + `rope_scaling` (old). */
import type { ConfigReader } from './config-reader.ts';
import { refuseModel } from './refuse.ts';

export type RopeScaling =
  | { kind: 'default'; theta: number }
  | { kind: 'linear'; theta: number; factor: number }
  | {
      kind: 'llama3';
      theta: number;
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositions: number;
    };

const DEFAULT_THETA = 10000;

/** Reads either spelling. Throws MODEL_UNSUPPORTED for another rope type. */
export function readRopeScaling(reader: ConfigReader): RopeScaling {
  const block = reader.child('rope_parameters') ?? reader.child('rope_scaling');
  const theta = block?.optionalNumber('rope_theta') ?? reader.optionalNumber('rope_theta') ?? DEFAULT_THETA;
  const kind = block?.optionalString('rope_type') ?? block?.optionalString('type') ?? 'default';
  if (
    (block?.optionalNumber('partial_rotary_factor') ??
      reader.optionalNumber('partial_rotary_factor') ??
      1) !== 1
  ) {
    refuseModel('rotary positions on a part of each head (partial_rotary_factor)');
  }
  switch (kind) {
    case 'default':
      return { kind, theta };
    case 'linear':
      return { kind, theta, factor: block?.number('factor') ?? 1 };
    case 'llama3':
      if (!block) refuseModel('llama3 rotary positions without settings');
      return {
        kind,
        theta,
        factor: block.number('factor'),
        lowFreqFactor: block.number('low_freq_factor'),
        highFreqFactor: block.number('high_freq_factor'),
        originalMaxPositions: block.number('original_max_position_embeddings'),
      };
    default:
      return refuseModel(`the rotary position type ${kind}`);
  }
}
