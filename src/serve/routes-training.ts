/** forward, forward_backward and optim_step. */
import { decodeForwardBackwardRequest, type DecodedRequest } from '../api/remote/proto-training.ts';
import type { TrainingCall } from '../api/training-call.ts';
import type { Chunk, TensorData } from '../api/types.ts';
import type { ServeContext } from './context.ts';
import type { FutureValue } from './futures.ts';
import type { ModelWork } from './models.ts';
import type { Route } from './route.ts';
import { turnRoute } from './turn-route.ts';
import { readOptimStep, readPass } from './wire-read.ts';
import { forwardBackwardSchema, forwardSchema, optimStepSchema } from './wire-requests.ts';
import { writeMetrics } from './wire-write.ts';

function wireChunk(chunk: Chunk): unknown {
  if (chunk.type === 'encoded_text' || chunk.type === 'dmel') return chunk;
  const { expectedTokens, ...rest } = chunk;
  return { ...rest, expected_tokens: expectedTokens ?? null };
}

const wireTensor = ({ data, dtype, shape, sparseCrowIndices, sparseColIndices }: TensorData): unknown => ({
  data,
  dtype,
  shape,
  sparse_crow_indices: sparseCrowIndices,
  sparse_col_indices: sparseColIndices,
});

/** A request in protobuf as it would be in JSON. */
export function wireOfProtobuf(request: DecodedRequest): unknown {
  return {
    model_id: request.modelId,
    seq_id: request.seqId,
    forward_only: request.forwardOnly,
    forward_backward_input: {
      data: request.data.map(({ modelInput, lossFnInputs }) => ({
        model_input: { chunks: modelInput.chunks.map(wireChunk) },
        loss_fn_inputs: Object.fromEntries(
          Object.entries(lossFnInputs).map(([key, tensor]) => [key, wireTensor(tensor)]),
        ),
      })),
      loss_fn: request.lossFn,
      loss_fn_config: request.lossFnConfig,
    },
  };
}

function passWork(call: TrainingCall, forwardOnly: boolean): ModelWork {
  return async (model, turn) => {
    const { requestId, result } = await (forwardOnly
      ? model.forward(call, turn)
      : model.forwardBackward(call, turn));
    return { requestId, result: result.then((output): FutureValue => ({ type: 'pass', output })) };
  };
}

export function trainingRoutes(context: ServeContext): Route[] {
  return [
    turnRoute(context, {
      path: 'forward',
      summary: 'Computes log-probabilities and the loss; changes nothing.',
      body: forwardSchema,
      prepare: (body, { model }) => passWork(model.prepare(readPass(body.forward_input), false), true),
    }),
    turnRoute(context, {
      path: 'forward_backward',
      summary: 'Adds the gradient of the summed loss; with forward_only it changes nothing.',
      body: forwardBackwardSchema,
      protobuf: (bytes) => wireOfProtobuf(decodeForwardBackwardRequest(bytes)),
      addsGradient: true,
      prepare: (body, { model }) => {
        const forwardOnly = body.forward_only ?? false;
        return passWork(model.prepare(readPass(body.forward_backward_input), !forwardOnly), forwardOnly);
      },
    }),
    turnRoute(context, {
      path: 'optim_step',
      summary: 'Applies the gradient with AdamW and clears it.',
      body: optimStepSchema,
      prepare: (body) => {
        const request = readOptimStep(body);
        return async (model, turn) => {
          const { requestId, result } = await model.optimStep(request, turn);
          const value = result.then(({ metrics = {} }): FutureValue => ({
            type: 'json',
            body: { type: 'optim_step', metrics: writeMetrics(metrics) },
          }));
          return { requestId, result: value };
        };
      },
    }),
  ];
}
