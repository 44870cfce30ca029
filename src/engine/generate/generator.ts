/** Decoding with a key/value cache: streams an answer's tokens with their log-probabilities, or draws several side by side. */
import { StudioError } from '../../errors.ts';
import { withErrorScopes } from '../gpu/errors.ts';
import type { BaseModel } from '../model/base-model.ts';
import type { GenerateOptions } from '../train/types.ts';
import { chooseToken, logSumExp, type Choice } from './choose.ts';
import { Decoder, type AdapterSource, type NextToken } from './decoder.ts';

/** One of several answers. */
export interface Draw {
  prompt: readonly number[];
  options: Omit<GenerateOptions, 'adapterScale'>;
  /** Told each token; false ends this answer. */
  wanted(choice: Choice): boolean;
  /** Told once that this answer has come to its end. */
  ended?(): void;
}

export interface DrawOptions {
  adapterScale: number;
  signal?: AbortSignal | undefined;
  /** The weights are those of the call before, unless `forgetPrompt` was called: a prompt is not computed again. */
  keepPrompt?: boolean;
}

/** An answer that is being drawn. */
interface Going {
  draw: Draw;
  text: number;
  logits: Float32Array;
}

const sameIds = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((id, i) => id === b[i]);

export class Generator {
  readonly model: BaseModel;
  readonly maxLength: number;
  readonly #decoder: Decoder;
  #busy = false;
  /** The prompt whose keys and values lie in the cache of the first text, and the logits after it. */
  #prompt: { ids: readonly number[]; adapterScale: number; logits: Float32Array } | null = null;

  private constructor(decoder: Decoder) {
    this.model = decoder.model;
    this.maxLength = decoder.maxLength;
    this.#decoder = decoder;
  }

  /**
   * Builds the plans for texts of up to `maxLength` tokens; `adapter` null generates with the base model alone. `texts` is
   * how many are drawn side by side; fewer where their caches would not fit.
   */
  static create(
    model: BaseModel,
    adapter: AdapterSource | null,
    maxLength: number,
    texts = 1,
  ): Promise<Generator> {
    return withErrorScopes(
      model.device,
      'generating text',
      async () => new Generator(await Decoder.create(model, adapter, { maxLength, texts })),
    );
  }

  /** Answers that are drawn side by side; more are drawn in turns. */
  get texts(): number {
    return this.#decoder.texts;
  }

  /** Logits after a prompt; those of the prompt before where it is the same and `keep` says that the weights are too. */
  async #afterPrompt(ids: readonly number[], adapterScale: number, keep: boolean): Promise<Float32Array> {
    const held = this.#prompt;
    if (keep && held?.adapterScale === adapterScale && sameIds(held.ids, ids)) return held.logits;
    this.#prompt = null;
    const logits = await this.#decoder.feed(ids, 0, adapterScale);
    if (keep) this.#prompt = { ids: [...ids], adapterScale, logits };
    return logits;
  }

  /** Logits after the last of these tokens, [vocabulary]. */
  async logits(ids: readonly number[], adapterScale = 1): Promise<Float32Array> {
    this.#checkPrompt(ids);
    return this.#exclusive(() => {
      this.#prompt = null;
      return this.#decoder.feed(ids, 0, adapterScale);
    });
  }

  /** Logits after each of these tokens, [vocabulary] each, one token at a time. */
  async *promptLogits(
    ids: readonly number[],
    adapterScale = 1,
  ): AsyncGenerator<Float32Array, void, undefined> {
    this.#checkPrompt(ids);
    this.#claim();
    try {
      this.#prompt = null;
      for (let index = 0; index < ids.length; index++) {
        yield await this.#decoder.feed(ids.slice(index, index + 1), index, adapterScale);
      }
    } finally {
      this.#busy = false;
    }
  }

  /** Log-probability of every token but the first, given those before it. */
  async promptLogprobs(ids: readonly number[], adapterScale = 1): Promise<number[]> {
    const logprobs: number[] = [];
    for await (const logits of this.promptLogits(ids, adapterScale)) {
      const next = ids[logprobs.length + 1];
      if (next === undefined) break;
      logprobs.push((logits[next] ?? -Infinity) - logSumExp(logits));
    }
    return logprobs;
  }

  /**
   * Streams the answer's tokens; ends at a stop id (not part of the answer), at `maxTokens` or at the longest length. With
   * `keepPrompt` the same prompt is not computed again until `forgetPrompt`, which whoever changes the weights has to call.
   */
  async *generate(
    prompt: readonly number[],
    options: GenerateOptions,
    signal?: AbortSignal,
    keepPrompt = false,
  ): AsyncGenerator<Choice, void, undefined> {
    this.#checkPrompt(prompt);
    this.#claim();
    try {
      const stops = new Set(options.stopIds);
      let logits = await this.#afterPrompt(prompt, options.adapterScale, keepPrompt);
      for (let index = 0; index < options.maxTokens; index++) {
        const choice = chooseToken(logits, options, index);
        if (stops.has(choice.id) || signal?.aborted) return;
        yield choice;
        const past = prompt.length + index;
        if (index + 1 >= options.maxTokens || past + 1 > this.maxLength) return;
        logits = await this.#decoder.feed([choice.id], past, options.adapterScale);
      }
    } finally {
      this.#busy = false;
    }
  }

  /**
   * Draws answers, `texts` of them side by side: each has the tokens and log-probabilities, to the bit, that `generate`
   * gives for its prompt and options. A prompt that follows itself is computed once. Resolves when all have ended, or after
   * a token when the signal says so.
   */
  async generateSeveral(
    draws: readonly Draw[],
    { adapterScale, signal, keepPrompt = false }: DrawOptions,
  ): Promise<void> {
    for (const { prompt } of draws) this.#checkPrompt(prompt);
    await this.#exclusive(async () => {
      if (!keepPrompt) this.#prompt = null;
      for (let first = 0; first < draws.length && signal?.aborted !== true; first += this.texts) {
        const going = await this.#begin(draws.slice(first, first + this.texts), adapterScale);
        await this.#drawGroup(going, adapterScale, signal);
      }
      if (!keepPrompt) this.#prompt = null;
    });
  }

  /** Feeds the prompts of draws, each to a text of its own; those that are the same as the one before are copied. */
  async #begin(draws: readonly Draw[], adapterScale: number): Promise<Going[]> {
    const going: Going[] = [];
    for (let text = 0; text < draws.length;) {
      const { prompt } = draws[text] ?? { prompt: [] };
      const others = draws.slice(text).findIndex((draw) => !sameIds(draw.prompt, prompt));
      const end = others < 0 ? draws.length : text + others;
      const logits =
        text === 0
          ? await this.#afterPrompt(prompt, adapterScale, true)
          : await this.#decoder.feed(prompt, 0, adapterScale, text);
      this.#decoder.spread(prompt.length, text, end - text);
      for (const [i, draw] of draws.slice(text, end).entries()) going.push({ draw, text: text + i, logits });
      text = end;
    }
    return going;
  }

  async #drawGroup(begun: Going[], adapterScale: number, signal: AbortSignal | undefined): Promise<void> {
    let going = begun;
    for (let index = 0; going.length > 0; index++) {
      const next: (NextToken & Going)[] = [];
      for (const one of going) {
        const id = this.#choose(one, index, signal);
        if (id === null) one.draw.ended?.();
        else next.push({ ...one, id, past: one.draw.prompt.length + index });
      }
      if (next.length === 0) return;
      const rows = await this.#decoder.feedNext(next, adapterScale);
      going = next.map(({ draw, text, logits }, row) => ({ draw, text, logits: rows[row] ?? logits }));
    }
  }

  /** Token `index` of an answer, told to whoever draws it; null where the answer ends before or with it. */
  #choose({ draw, logits }: Going, index: number, signal: AbortSignal | undefined): number | null {
    const { options, prompt } = draw;
    if (index >= options.maxTokens || signal?.aborted === true) return null;
    const choice = chooseToken(logits, options, index);
    if (options.stopIds.includes(choice.id) || !draw.wanted(choice)) return null;
    const hasRoom = prompt.length + index < this.maxLength;
    return index + 1 < options.maxTokens && hasRoom ? choice.id : null;
  }

  /** The weights are others now: the next prompt is computed, also where it is the same. */
  forgetPrompt(): void {
    this.#prompt = null;
  }

  #checkPrompt(ids: readonly number[]): void {
    const { vocabSize } = this.model.config;
    if (ids.length === 0 || ids.length > this.maxLength) {
      throw new StudioError({
        code: 'OPTION_INVALID',
        message: `The prompt has ${ids.length} tokens; 1 to ${this.maxLength} fit.`,
        fix: 'Use a shorter prompt.',
      });
    }
    const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (outside !== undefined) {
      throw new StudioError({
        code: 'OPTION_INVALID',
        message: `The token id ${outside} is outside the vocabulary of ${vocabSize}.`,
        fix: "Use the model's own tokenizer.",
      });
    }
  }

  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    this.#claim();
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  /** The cache holds the texts of one call at a time. */
  #claim(): void {
    if (this.#busy) throw new Error('This generator is already generating.');
    this.#busy = true;
  }

  /** Frees everything but the model and the adapter. */
  dispose(): void {
    this.#decoder.dispose();
  }
}
