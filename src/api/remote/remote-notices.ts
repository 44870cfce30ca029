/** What a server does otherwise, said once, or refused where the caller wants strictness. */
import type { OptimStepRequest } from '../backend.ts';
import { UnsupportedFeatureError } from '../own-errors.ts';
import type { RemoteContext } from './remote-context.ts';

export function noticeMeanLoss({ warnings }: RemoteContext): void {
  warnings.once({
    code: 'LOSS_IS_A_MEAN',
    message:
      'SkyRL divides the loss of each sequence by the sum of its weights, and the gradient by the number of sequences since the last step: step sizes differ from those of a summed loss, and 1/N put into weights has no effect. For RL losses emulateSumLoss: true undoes it.',
  });
}

/** Throws UnsupportedFeatureError for what the protocol cannot say. */
export function noticeOptimizer(context: RemoteContext, request: OptimStepRequest, seqId: number): void {
  const { traits, warnings, strict } = context;
  const { adam } = request;
  if (request.gradAccumulationNormalization !== 'none') {
    throw new UnsupportedFeatureError({
      feature: 'gradAccumulationNormalization',
      backend: traits.label,
      why: 'the protocol has no field for it',
      seqId,
      fix: 'Put 1/N into weights or advantages.',
    });
  }
  if (!traits.skyrlJax) return;
  if (adam.gradClipNorm > 0) {
    if (strict) {
      const why = 'it drops the setting';
      throw new UnsupportedFeatureError({ feature: 'gradClipNorm', backend: traits.label, why, seqId });
    }
    const message = 'SkyRL drops gradClipNorm: gradients are not clipped.';
    warnings.once({ code: 'OPTION_IGNORED', message }, 'gradClipNorm');
  }
  if (adam.weightDecay > 0) {
    const message = 'On SkyRL the weight decay of one model shrinks every other model of the server.';
    warnings.once({ code: 'WEIGHT_DECAY_LEAKS', message });
  }
}

export function noticeTtl({ traits, warnings }: RemoteContext, ttlSeconds: number | null): void {
  if (ttlSeconds === null || traits.dialect !== 'skyrl') return;
  const message = 'SkyRL ignores ttlSeconds: the checkpoint stays until it is deleted.';
  warnings.once({ code: 'TTL_NOT_KEPT', message });
}

export function noticeMetadata({ traits, warnings }: RemoteContext): void {
  warnings.once({
    code: 'USER_METADATA_KEPT_HERE',
    message: `${traits.label} keeps no such metadata; it is kept by this program, and only for as long as its records are.`,
  });
}
