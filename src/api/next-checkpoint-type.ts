/** Which form the next sampler checkpoint takes. */
import type { CheckpointEncoding } from './types.ts';

export interface ChainState {
  /** Rank of the adapter; 0 is full-parameter training. */
  loraRank: number;
  /** A base was saved, and nothing since has broken the chain. */
  baseSaved: boolean;
  /** What the first checkpoint of a chain is. */
  firstCheckpointType?: CheckpointEncoding;
  /** What the caller asks for; wins over everything. */
  explicit?: CheckpointEncoding;
}

/** An explicit type wins; LoRA is stored whole; else a base first, then deltas. */
export function resolveNextCheckpointType(state: ChainState): CheckpointEncoding {
  if (state.explicit !== undefined) return state.explicit;
  if (state.loraRank > 0) return 'base';
  return state.baseSaved ? 'delta' : (state.firstCheckpointType ?? 'base');
}
