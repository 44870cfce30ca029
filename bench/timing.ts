/** Times things on a machine that others use too: many short samples, the subjects taking turns, best and median. */

/** Something to be timed. `run` does it `repeats` times and resolves when the GPU is done. */
export interface Subject {
  name: string;
  /** Floating-point operations of one repetition. */
  flops: number;
  run(repeats: number): Promise<void>;
}

/** What one subject reached, over all rounds. */
export interface Timing {
  name: string;
  /** Milliseconds per repetition, round by round. */
  samples: number[];
  best: number;
  median: number;
  /** GFLOP/s of the best and of the median sample. */
  bestRate: number;
  medianRate: number;
  /** CPU milliseconds of all threads per repetition, the median: where a CPU computes, other programs hardly touch it. */
  cpu: number | null;
}

/** CPU milliseconds that this process has used so far. */
export type CpuClock = () => number;

/** Long enough for the clock and the launch not to count, short enough to fall between other people's work. */
const SAMPLE_MS = 12;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}

/** Times subjects in turns, forwards and backwards, so that drift hits all alike. The first run of each does not count. */
export async function takeTurns(
  subjects: readonly Subject[],
  rounds: number,
  clock: CpuClock | null = null,
): Promise<Timing[]> {
  const taken: { subject: Subject; repeats: number; samples: number[]; cpu: number[] }[] = [];
  for (const subject of subjects)
    taken.push({ subject, repeats: await calibrate(subject), samples: [], cpu: [] });
  for (let round = 0; round < rounds; round++) {
    for (const entry of round % 2 === 0 ? taken : [...taken].reverse()) {
      const before = clock?.() ?? 0;
      const milliseconds = await timed(() => entry.subject.run(entry.repeats));
      entry.samples.push(milliseconds / entry.repeats);
      if (clock) entry.cpu.push((clock() - before) / entry.repeats);
    }
  }
  return taken.map(({ subject, samples, cpu }) => ({
    ...summarise(subject.name, subject.flops, samples),
    cpu: clock ? median(cpu) : null,
  }));
}

/** Repetitions that make a sample long enough. */
async function calibrate(subject: Subject): Promise<number> {
  await subject.run(1);
  let repeats = 1;
  while (repeats < 4096) {
    const milliseconds = await timed(() => subject.run(repeats));
    if (milliseconds >= SAMPLE_MS) break;
    repeats = Math.ceil(repeats * Math.min(8, Math.max(1.5, SAMPLE_MS / Math.max(milliseconds, 0.1))));
  }
  return repeats;
}

/** Wall time of some work. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Best and median of samples in milliseconds. */
export function summarise(name: string, flops: number, samples: number[]): Timing {
  const best = Math.min(...samples);
  const middle = median(samples);
  const rate = (milliseconds: number): number => flops / milliseconds / 1e6;
  return { name, samples, best, median: middle, bestRate: rate(best), medianRate: rate(middle), cpu: null };
}

/** One speed as a share of another. */
export interface Share {
  /** Of the best samples. */
  best: number;
  /** The median over the rounds, in which drift cancels. */
  median: number;
  /** By CPU time, where a CPU computes. */
  cpu: number | null;
}

/** A subject's share of another's speed. */
export function shareOf(subject: Timing, reference: Timing): Share {
  const flops = (timing: Timing): number => timing.bestRate * timing.best;
  const scale = flops(subject) / flops(reference);
  const paired = subject.samples.map((ms, round) => (scale * (reference.samples[round] ?? NaN)) / ms);
  const cpu = subject.cpu === null || reference.cpu === null ? null : (scale * reference.cpu) / subject.cpu;
  return { best: subject.bestRate / reference.bestRate, median: median(paired), cpu };
}
