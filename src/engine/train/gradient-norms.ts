/** Norms of a gradient that was read back, module by module. */
import type { AdapterTensor } from '../../formats/adapter.ts';

export interface GradientNorms {
  total: number;
  /** By the module's path, such as `model.layers.0.self_attn.q_proj`: of both factors together. */
  modules: Record<string, number>;
}

/** L2 norms of `tensors` divided by `divisor`, in float64. */
export function gradientNorms(tensors: readonly AdapterTensor[], divisor = 1): GradientNorms {
  const squares = new Map<string, number>();
  for (const { name, data } of tensors) {
    const module = name.replace(/\.lora_[AB]\.weight$/, '');
    let sum = squares.get(module) ?? 0;
    for (const value of data) sum += (value / divisor) ** 2;
    squares.set(module, sum);
  }
  const total = Math.sqrt([...squares.values()].reduce((sum, square) => sum + square, 0));
  return { total, modules: Object.fromEntries([...squares].map(([path, sum]) => [path, Math.sqrt(sum)])) };
}
