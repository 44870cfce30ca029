/** The session of a model, what of a call it has to give, and what a load of it tells. */
import type { TrainingCall } from '../api/training-call.ts';
import type { LoadWeightsResponse } from '../api/types.ts';
import { TrainingSession, type AdapterStart } from '../engine/index.ts';
import type { LoraSettings } from '../formats/adapter.ts';
import type { OpenBase } from './bases.ts';
import type { ReadState } from './capture.ts';

/** Whether log-probabilities of what is not trained may be left out. */
export const trainedOnly = (call: TrainingCall): boolean => call.outputs === 'trained';

/** Throws ADAPTER_MISMATCH, GPU_LIMIT or MEMORY_EXCEEDED; then nothing stays allocated. */
export function buildSession(
  { base, settings }: { base: OpenBase; settings: LoraSettings },
  start: AdapterStart,
  maxTokens: number,
): Promise<TrainingSession> {
  const most = Math.min(maxTokens, base.model.config.maxPositions);
  return TrainingSession.create(base.base, { settings, start, maxTokens: most, evaluate: true });
}

/** What a load tells the caller. */
export function loadedOf(path: string, state: ReadState, optimizer: boolean): LoadWeightsResponse {
  const { loopState, metadata, position } = state;
  return {
    path,
    ...(optimizer ? { step: position.optimizerStep } : {}),
    ...(loopState === null ? {} : { loopState }),
    ...(metadata === null ? {} : { metadata }),
  };
}
