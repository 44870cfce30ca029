/** Picks the fastest products for a model on a GPU, once per GPU and shape; the choice never changes a result. */
import { autotune, isTuning, type BaseModel, type DeviceInfo, type Tuning } from '../engine/index.ts';

/** Where choices are kept between runs; a host that has no place hands in one that forgets. */
export interface TuningMemory {
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<void>;
}

/** Rows of a usual micro-batch: what the choice is made for. */
const ROWS = 256;

/** Sets the model's tuning. A software adapter keeps the default: compiling the candidates takes longer than they could save. */
export async function tuneBase(base: BaseModel, info: DeviceInfo, memory: TuningMemory): Promise<void> {
  if (info.software) return;
  const { hiddenSize, intermediateSize } = base.config;
  const { dtype } = base.weights.embedding;
  const key = `${info.name} ${dtype} ${hiddenSize}x${intermediateSize}`;
  base.tuning = (await remembered(base.device, memory, key)) ?? (await measured(base, memory, key));
}

async function remembered(device: GPUDevice, memory: TuningMemory, key: string): Promise<Tuning | null> {
  const text = await memory.get(key);
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isTuning(device, value) ? value : null;
  } catch {
    // Written by another version or cut short: measured anew.
    return null;
  }
}

async function measured(base: BaseModel, memory: TuningMemory, key: string): Promise<Tuning> {
  const { hiddenSize, intermediateSize } = base.config;
  const shape = { rows: ROWS, in: hiddenSize, out: intermediateSize, dtype: base.weights.embedding.dtype };
  const { tuning } = await autotune(base.device, base.kernels, shape);
  await memory.set(key, JSON.stringify(tuning));
  return tuning;
}
