/** Metrics of several parts as those of the whole. The reduction stands in the name: `loss:sum`, `e_max_violation:max`. */
import { APIResponseValidationError } from './errors.ts';

type Metrics = Readonly<Record<string, number>>;

const weightedMean = (values: readonly number[], weights: readonly number[]): number => {
  const total = weights.reduce((a, b) => a + b, 0);
  return values.reduce((sum, value, i) => sum + value * (weights[i] ?? 0), 0) / total;
};

const bits = new DataView(new ArrayBuffer(8));

/** A number that depends on the set of values and not on their order; whole and below 2^53. */
function unorderedHash(values: readonly number[]): number {
  const hashes = values.map((value) => {
    bits.setFloat64(0, value);
    let hash = 0x811c9dc5;
    for (let i = 0; i < 8; i++) hash = Math.imul(hash ^ bits.getUint8(i), 0x01000193) >>> 0;
    return hash;
  });
  return hashes.reduce((sum, hash) => (sum + hash) % 2 ** 53, 0);
}

/**
 * Combines by the suffix: mean (weighted by datums), slack (max − mean), sum, min, max, hash_unordered, unique. Keys with
 * an unknown reduction, or missing from a part, are left out. Throws where a key has not exactly one ":".
 */
export function combineMetrics(
  parts: readonly Metrics[],
  datumCounts: readonly number[],
): Record<string, number> {
  const combined: Record<string, number> = {};
  const [first] = parts;
  for (const part of parts) {
    for (const key of Object.keys(part)) {
      if (key.split(':').length === 2) continue;
      throw new APIResponseValidationError({
        message: `The metric ${JSON.stringify(key)} does not say how it is reduced; names are <name>:<reduction>.`,
      });
    }
  }
  for (const key of Object.keys(first ?? {})) {
    const values = parts.flatMap((part) => (Object.hasOwn(part, key) ? [part[key] ?? NaN] : []));
    if (values.length < parts.length) continue;
    switch (key.split(':')[1]) {
      case 'mean':
        combined[key] = weightedMean(values, datumCounts);
        break;
      case 'slack':
        combined[key] = Math.max(...values) - weightedMean(values, datumCounts);
        break;
      case 'sum':
        combined[key] = values.reduce((a, b) => a + b, 0);
        break;
      case 'min':
        combined[key] = Math.min(...values);
        break;
      case 'max':
        combined[key] = Math.max(...values);
        break;
      case 'hash_unordered':
        combined[key] = unorderedHash(values);
        break;
      case 'unique':
        values.forEach((value, i) => {
          combined[i === 0 ? key : `${key}_${String(i)}`] = value;
        });
        break;
      default:
        break;
    }
  }
  return combined;
}
