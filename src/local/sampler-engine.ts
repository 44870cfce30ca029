/** What computes samples: an adapter's weights on the GPU, with the plans that score prompts and decode. One job at a time. */
import { Generator, promptLogprobs, targetNames, TrainingSession, type Draw } from '../engine/index.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import type { OpenBase } from './bases.ts';

const SMALLEST = 256;
/** Samples that are drawn side by side at most. */
const MOST_AT_ONCE = 16;

export class SamplerEngine {
  readonly base: OpenBase;
  readonly settings: LoraSettings;
  #session: TrainingSession;
  #generator: Generator | null = null;
  /** How many texts at once the generator was asked for; it may have room for fewer. */
  #atOnce = 1;
  /** 0 answers as the base model. */
  #scale: 0 | 1;
  #tensors: Adapter['tensors'] | null;
  /** Whether the generator's cache is of these weights. */
  #cacheIsCurrent = false;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(
    base: OpenBase,
    settings: LoraSettings,
    session: TrainingSession,
    adapter: Adapter | null,
  ) {
    this.base = base;
    this.settings = settings;
    this.#session = session;
    this.#scale = adapter === null ? 0 : 1;
    this.#tensors = adapter?.tensors ?? null;
  }

  /** `adapter` null samples from the base model. */
  static async create(base: OpenBase, adapter: Adapter | null): Promise<SamplerEngine> {
    const settings = adapter?.settings ?? smallest(base);
    const session = await scoring(base, settings, adapter?.tensors ?? null, SMALLEST);
    return new SamplerEngine(base, settings, session, adapter);
  }

  /** Other weights of the same form; those that are being answered with finish first. */
  load(adapter: Adapter | null): Promise<void> {
    return this.#exclusive(async () => {
      this.#scale = adapter === null ? 0 : 1;
      this.#tensors = adapter?.tensors ?? this.#tensors;
      if (adapter !== null) await this.#session.load({ tensors: adapter.tensors });
      this.#cacheIsCurrent = false;
    });
  }

  /** Log-probability of each token but the first. */
  logprobs(prompt: readonly number[]): Promise<Float32Array> {
    return this.#exclusive(async () => {
      if (prompt.length - 1 > this.#session.maxTokens) {
        const larger = await scoring(this.base, this.settings, this.#tensors, prompt.length - 1);
        this.#generator?.dispose();
        this.#generator = null;
        this.#session.dispose();
        this.#session = larger;
      }
      const [found] = await promptLogprobs(this.#session, [prompt], this.#scale);
      return found ?? new Float32Array(0);
    });
  }

  /** The likeliest `k` tokens after each prompt token. */
  topLogits(prompt: readonly number[], each: (logits: Float32Array) => void): Promise<void> {
    return this.#exclusive(async () => {
      const generator = await this.#decoder(prompt.length, 1);
      for await (const logits of generator.promptLogits(prompt, this.#scale)) each(logits);
    });
  }

  /** Draws answers side by side, each until its `wanted` says no, the signal says no, or `maxTokens`. */
  draw(draws: readonly Draw[], signal?: AbortSignal): Promise<void> {
    return this.#exclusive(async () => {
      const longest = Math.max(0, ...draws.map(({ prompt, options }) => prompt.length + options.maxTokens));
      const generator = await this.#decoder(longest, draws.length);
      if (!this.#cacheIsCurrent) generator.forgetPrompt();
      this.#cacheIsCurrent = true;
      await generator.generateSeveral(draws, { adapterScale: this.#scale, signal, keepPrompt: true });
    });
  }

  async #decoder(length: number, texts: number): Promise<Generator> {
    const { maxPositions } = this.base.model.config;
    const wanted = Math.min(texts, MOST_AT_ONCE);
    const current = this.#generator;
    if (current !== null && current.maxLength >= Math.min(length, maxPositions) && this.#atOnce >= wanted)
      return current;
    // It grows by doubling, and never shrinks: each new size is another set of plans.
    let capacity = Math.max(SMALLEST, current?.maxLength ?? 0);
    while (capacity < length) capacity *= 2;
    while (this.#atOnce < wanted) this.#atOnce *= 2;
    current?.dispose();
    this.#generator = null;
    this.#cacheIsCurrent = false;
    this.#generator = await Generator.create(
      this.base.base,
      this.#session.state,
      Math.min(capacity, maxPositions),
      this.#atOnce,
    );
    return this.#generator;
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  /** Frees the adapter and the plans, and leaves the base model. */
  async dispose(): Promise<void> {
    await this.#tail;
    this.#generator?.dispose();
    this.#session.dispose();
    this.base.release();
  }
}

/** The least adapter there can be, for sampling without one. */
function smallest({ model }: OpenBase): LoraSettings {
  const [first = ''] = targetNames(model.config);
  return {
    rank: 1,
    alpha: 1,
    dropout: 0,
    rslora: false,
    targetModules: [first],
    rankPattern: {},
    alphaPattern: {},
  };
}

function scoring(
  { base, model }: OpenBase,
  settings: LoraSettings,
  tensors: Adapter['tensors'] | null,
  maxTokens: number,
): Promise<TrainingSession> {
  const start = tensors === null ? { seed: 0 } : { tensors };
  const most = Math.min(maxTokens, model.config.maxPositions);
  return TrainingSession.create(base, { settings, start, maxTokens: most, evaluate: true, train: false });
}
