/** The result of a forward or backward pass, with the loss computed here where the server gives none. */
import type { TrainingCall } from '../training-call.ts';
import type { ForwardBackwardOutput } from '../types.ts';
import type { Reply } from './answer.ts';
import { lossSum } from './client-loss.ts';
import { decodeForwardBackwardOutput } from './proto-training.ts';
import type { RemoteContext } from './remote-context.ts';
import { originalOf } from './skyrl-calls.ts';
import { decodeForwardBackward } from './wire-training.ts';

export function decodePass(
  { warnings, traits }: RemoteContext,
  what: string,
  reply: Reply,
  call: TrainingCall,
): ForwardBackwardOutput {
  const output =
    reply.protobuf === null
      ? decodeForwardBackward(reply.body, what)
      : decodeForwardBackwardOutput(reply.protobuf);
  if (traits.skyrlJax && output.metrics['loss:sum'] === undefined) {
    const original: TrainingCall = { ...call, data: call.data.map(originalOf) };
    const logprobs = output.lossFnOutputs.map((o) => Array.from(o['logprobs']?.data ?? [], Number));
    output.metrics['loss:sum'] = lossSum(original, logprobs);
    output.computedByClient = ['loss:sum'];
    const message = 'SkyRL gives no metrics; loss:sum is computed here from the log-probabilities.';
    warnings.once({ code: 'METRICS_COMPUTED_HERE', message });
  }
  const tensors = output.lossFnOutputs.flatMap((o) => Object.values(o));
  if (!tensors.every(({ data }) => Array.from(data, Number).every(Number.isFinite))) {
    warnings.once({
      code: 'RESULT_NOT_FINITE',
      message: 'A result holds numbers that are not finite; a token outside the vocabulary does that.',
    });
  }
  return output;
}
