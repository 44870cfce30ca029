/**
 * An engine that takes means as SkyRL's JAX backend does, to compare a local run with one there: the loss of a sequence is
 * divided by the sum of its weights, the gradient by the number of sequences since the last step. Only to compare: losses
 * are sums everywhere else. One difference stays: a sequence all of whose tokens PPO clips has no gradient, and is counted
 * there alone.
 */
import type { Backend, BackendModel } from './backend.ts';
import { BadRequestError } from './errors.ts';
import { UnsupportedFeatureError } from './own-errors.ts';
import { prepareSkyrl } from './remote/skyrl-calls.ts';
import type { DenseTensor } from './tensor.ts';
import type { PreparedDatum, TrainingCall } from './training-call.ts';

export type LossReduction = 'sum' | 'skyrl';

/** Something with some of its members replaced. The others are called on what they belong to, private fields and all. */
function withMembers<T extends object>(inner: T, members: Partial<T>): T {
  return new Proxy(inner, {
    get(target, key) {
      if (key in members) return members[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const total = ({ data }: DenseTensor): number => Array.from(data).reduce((sum, value) => sum + value, 0);

const divided = (tensor: DenseTensor, by: number): DenseTensor => ({
  ...tensor,
  data: Float32Array.from(tensor.data, (value) => value / by),
});

/** A datum with SkyRL's mean in it: it divides by the sum of the weights, which for RL losses are 0 or 1. */
function mean(datum: PreparedDatum, i: number, backward: boolean): PreparedDatum {
  const { weights, advantages, ...rest } = datum.inputs;
  const { targetTokens } = rest;
  const ones = (): DenseTensor => ({
    dtype: 'float32',
    shape: targetTokens.shape,
    data: new Float32Array(targetTokens.data.length).fill(1),
  });
  const given = weights ?? ones();
  const sum = total(given);
  // Without a gradient it would be counted there and not here, where only what has one is.
  const isMute = sum === 0 || (advantages?.data.every((value) => value === 0) ?? false);
  if (isMute && backward) {
    throw new BadRequestError({
      message: `Datum ${String(i)} has no weight: SkyRL counts it among the sequences and trains nothing on it.`,
      fix: 'Leave it out.',
    });
  }
  // SkyRL's own floor under the divisor.
  const by = Math.max(sum, 1e-9);
  const inputs =
    advantages === undefined
      ? { ...rest, weights: divided(given, by) }
      : { ...rest, advantages: divided(advantages, by) };
  return { ...datum, inputs };
}

function meanCall(call: TrainingCall, backward: boolean): TrainingCall {
  const { data, ...rest } = prepareSkyrl(call, backward, false);
  return { ...rest, data: data.map((datum, i) => mean(datum, i, backward)) };
}

function meanModel(model: BackendModel, label: string): BackendModel {
  return withMembers(model, {
    prepare: (call, backward) => model.prepare(meanCall(call, backward), backward),
    customLossCall: () => {
      throw new UnsupportedFeatureError({
        feature: 'forwardBackwardCustom with lossReduction "skyrl"',
        backend: label,
        why: 'a custom loss is summed on every backend, on SkyRL too',
        fix: 'Use a service without lossReduction for it.',
      });
    },
    optimStep: (request, turn) => {
      if (request.gradAccumulationNormalization !== 'none') {
        const message =
          'gradAccumulationNormalization has no place with lossReduction "skyrl": the gradient is divided by the number of sequences already.';
        return Promise.reject(new BadRequestError({ message, seqId: turn.seqId }));
      }
      return model.optimStep({ ...request, gradAccumulationNormalization: 'num_sequences' }, turn);
    },
  });
}

/** The backend with SkyRL's means. Throws BadRequestError for a server, which reduces as it does. */
export function reduceLoss(backend: Backend, reduction: LossReduction): Backend {
  if (reduction === 'sum') return backend;
  if (backend.kind === 'remote') {
    throw new BadRequestError({
      message: `lossReduction is for the engine of this machine; ${backend.label} reduces as it does.`,
      fix: 'On SkyRL, emulateSumLoss: true sums RL losses.',
    });
  }
  return withMembers(backend, {
    createModel: async (spec, load) => {
      const { model, loaded } = await backend.createModel(spec, load);
      return { model: meanModel(model, backend.label), loaded };
    },
  });
}
