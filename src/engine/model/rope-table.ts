/** Cosines and sines of the rotary positions, as transformers computes them: float32 where PyTorch rounds to float32. */
import type { RopeScaling } from './rope-scaling.ts';

/** `[positions, headDim]`, row-major: the cosines of a position in the first half of its row, the sines in the second. */
export function ropeTable(
  scaling: RopeScaling,
  headDim: number,
  positions: number,
): Float32Array<ArrayBuffer> {
  const half = headDim / 2;
  const frequencies = inverseFrequencies(scaling, headDim);
  const table = new Float32Array(positions * headDim);
  for (let position = 0; position < positions; position++) {
    frequencies.forEach((frequency, i) => {
      const angle = Math.fround(position * frequency);
      table[position * headDim + i] = Math.cos(angle);
      table[position * headDim + half + i] = Math.sin(angle);
    });
  }
  return table;
}

function inverseFrequencies(scaling: RopeScaling, headDim: number): Float32Array {
  const plain = Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const power = Math.fround(scaling.theta ** Math.fround((2 * i) / headDim));
    return 1 / power;
  });
  switch (scaling.kind) {
    case 'default':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'llama3':
      return plain.map((frequency) => llama3Frequency(frequency, scaling));
  }
}

/** Slows long waves by the factor, keeps short ones, and blends between: the rule of Llama 3.1. */
function llama3Frequency(frequency: number, scaling: RopeScaling & { kind: 'llama3' }): number {
  const { fround } = Math;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  const wavelength = fround((2 * Math.PI) / frequency);
  const slowed = fround(frequency / factor);
  if (wavelength > originalMaxPositions / lowFreqFactor) return slowed;
  if (wavelength < originalMaxPositions / highFreqFactor) return frequency;
  const above = fround(fround(originalMaxPositions / wavelength) - lowFreqFactor);
  const smooth = fround(above / fround(highFreqFactor - lowFreqFactor));
  const kept = fround(smooth * frequency);
  return fround(fround(fround(fround(1 - smooth) * frequency) / factor) + kept);
}
