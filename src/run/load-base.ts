/** Brings an opened model onto a GPU. */
import { loadBaseModel, type BaseModel } from '../engine/index.ts';
import type { OpenModel } from './open-model.ts';

/** Loads the weights tensor by tensor; progress counts bytes. */
export function loadBase(
  model: OpenModel,
  device: GPUDevice,
  onProgress: (doneBytes: number, totalBytes: number) => void = () => undefined,
): Promise<BaseModel> {
  return loadBaseModel(device, { config: model.config, tensors: model.tensors, onProgress });
}
