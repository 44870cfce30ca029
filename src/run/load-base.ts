/** Brings an opened model onto a GPU. */
import { loadBaseModel, type BaseModel } from '../engine/index.ts';
import { hashedTensors } from './hash-weights.ts';
import type { OpenModel } from './open-model.ts';

/** Loads the weights tensor by tensor, and notes their hash in the model; progress counts bytes. */
export async function loadBase(
  model: OpenModel,
  device: GPUDevice,
  onProgress: (doneBytes: number, totalBytes: number) => void = () => undefined,
): Promise<BaseModel> {
  const hashed = hashedTensors(model.tensors);
  const { tensors } = hashed;
  const base = await loadBaseModel(device, { config: model.config, tensors, onProgress });
  model.hashes.weightsSha256 = await hashed.sha256();
  return base;
}
