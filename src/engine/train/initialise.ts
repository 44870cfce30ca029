/** Fresh adapter weights as PEFT makes them: A kaiming-uniform with a = sqrt 5, B zero; a pure function of the seed. */
import { philox4x32 } from '../../philox.ts';
import type { AdapterLayout } from '../model/adapter-layout.ts';

/** Sets this use of the seed apart from the others: shuffling, splitting, sampling. */
const PURPOSE = 0x494e4954;

/**
 * Flat initial parameters. `kaiming_uniform_(a = sqrt 5)` draws from ±sqrt(6 / ((1 + 5) in)) = ±1 / sqrt(in)
 * (He et al. 2015; torch.nn.init); every element has its own counter.
 */
export function initialParameters(layout: AdapterLayout, seed: number): Float32Array<ArrayBuffer> {
  const flat = new Float32Array(layout.floats);
  const key: [number, number] = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  layout.modules.forEach(({ in: inSize, rank, aOffset }, index) => {
    const bound = 1 / Math.sqrt(inSize);
    for (let i = 0; i < rank * inSize; i += 4) {
      const words = philox4x32([i / 4, index, 0, PURPOSE], key);
      words.forEach((word, lane) => {
        // 24 bits: what a float32 holds exactly.
        if (i + lane < rank * inSize) flat[aOffset + i + lane] = ((word >>> 8) / 2 ** 23 - 1) * bound;
      });
    }
  });
  return flat;
}
