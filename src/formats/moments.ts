/** Both Adam moments of an adapter, and the checks that they belong to it. */
import { StudioError } from '../errors.ts';
import type { Adapter, AdapterTensor } from './adapter.ts';
import { countNonFinite, encodeFloats } from './float-codec.ts';

/** Named and ordered as the adapter's tensors. */
export interface Moments {
  expAvg: Adapter['tensors'];
  expAvgSq: Adapter['tensors'];
}

/** What belongs to a checkpoint and is not there. */
export function incompleteState(what: string, fix?: string): StudioError {
  return new StudioError({
    code: 'STATE_INCOMPLETE',
    message: `${what}.`,
    fix: fix ?? 'Choose a complete checkpoint, or start from its adapter alone (warm start).',
  });
}

/** State that is damaged or contradicts itself. */
export function invalidState(problem: string): StudioError {
  return new StudioError({
    code: 'STATE_INVALID',
    message: `${problem}.`,
    fix: 'The checkpoint is damaged or was put together from several. Get it again, or start from its adapter alone (warm start).',
  });
}

/** State that is sound, but of something that is not trained here. */
export function unsupportedState(what: string): StudioError {
  return new StudioError({
    code: 'STATE_UNSUPPORTED',
    message: `The checkpoint holds ${what}. Supported is AdamW with float moments.`,
    fix: 'Start from its adapter alone (warm start).',
  });
}

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, i) => size === b[i]);

/** Throws unless these are the adapter's tensors by name, order and shape, and every value is finite. */
export function checkLikeAdapter(
  what: string,
  adapter: Pick<Adapter, 'tensors'>,
  tensors: readonly AdapterTensor[],
): void {
  if (tensors.length !== adapter.tensors.length) {
    throw invalidState(
      `There are ${String(tensors.length)} tensors of ${what} for ${String(adapter.tensors.length)} of the adapter`,
    );
  }
  for (const [i, tensor] of adapter.tensors.entries()) {
    const found = tensors[i];
    if (found === undefined || found.name !== tensor.name) {
      throw invalidState(`${what} is ordered otherwise than the adapter at ${tensor.name}`);
    }
    checkTensor(`${what} of ${tensor.name}`, tensor, found);
  }
}

/** One tensor of state against the parameter that it belongs to. */
export function checkTensor(
  what: string,
  parameter: Pick<AdapterTensor, 'shape'>,
  tensor: { shape: readonly number[]; data: Float32Array<ArrayBuffer> },
): void {
  const { shape } = parameter;
  if (!sameShape(shape, tensor.shape) || tensor.data.length !== shape[0] * shape[1]) {
    throw invalidState(`${what} has the shape [${tensor.shape.join(', ')}], not [${shape.join(', ')}]`);
  }
  const bytes = encodeFloats('F32', tensor.data);
  if (countNonFinite('F32', bytes) > 0) throw invalidState(`${what} holds values that are not finite`);
}

/** Second moments are sums of squares. */
export function checkNotNegative(what: string, data: Float32Array): void {
  for (const value of data) if (value < 0) throw invalidState(`${what} holds negative values`);
}
