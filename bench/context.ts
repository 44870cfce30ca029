/** What every part of the benchmark works with. */
import type { BufferCount } from './buffer-count.ts';
import type { CpuClock } from './timing.ts';

export interface Context {
  device: GPUDevice;
  /** The adapter, for people. */
  adapter: string;
  buffers: BufferCount;
  /** For software adapters: there a machine's other work falsifies wall times. */
  cpuClock: CpuClock | null;
  /** Fewer rounds and shapes. */
  quick: boolean;
  /** A model folder for the memory part. */
  model: string | null;
  /** Prints a line at once. */
  print: (text: string) => void;
}

/** A part prints its table and gives what goes into the JSON file. */
export type Part = (context: Context) => Promise<unknown>;
