/** Decoding with a key/value cache: streams an answer's tokens with their log-probabilities, or draws several side by side. */
import { StudioError } from '../../errors.ts';
import { withErrorScopes } from '../gpu/errors.ts';
import type { BaseModel } from '../model/base-model.ts';
import type { GenerateOptions } from '../train/types.ts';
import { chooseToken, logSumExp, type Choice } from './choose.ts';
import { Decoder, type AdapterSource, type NextToken } from './decoder.ts';

/** One of several answers to a prompt. */
export interface Draw {
  seed: number;
  /** Told each token; false ends this answer. */
  wanted(choice: Choice): boolean;
}

export class Generator {
  readonly model: BaseModel;
  readonly maxLength: number;
  readonly #decoder: Decoder;
  #busy = false;
  /** The prompt whose keys and values lie in the cache of so many texts, and the logits after it. */
  #prompt: { ids: readonly number[]; adapterScale: number; logits: Float32Array; texts: number } | null =
    null;

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
    const same =
      held !== null &&
      held.adapterScale === adapterScale &&
      held.ids.length === ids.length &&
      held.ids.every((id, i) => id === ids[i]);
    if (keep && same) return held.logits;
    this.#prompt = null;
    const logits = await this.#decoder.feed(ids, 0, adapterScale);
    if (keep) this.#prompt = { ids: [...ids], adapterScale, logits, texts: 1 };
    return logits;
  }

  /** Lets the first `texts` texts begin with the prompt that was fed last. */
  #spreadPrompt(length: number, texts: number): void {
    if ((this.#prompt?.texts ?? 1) >= texts) return;
    this.#decoder.spread(length, texts);
    if (this.#prompt) this.#prompt.texts = texts;
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
   * Draws several answers to one prompt, `texts` of them side by side: each has the tokens and log-probabilities, to the
   * bit, that `generate` gives for its seed. Ends when all have ended, or after a token when the signal says so.
   */
  async generateSeveral(
    prompt: readonly number[],
    options: Omit<GenerateOptions, 'seed'>,
    draws: readonly Draw[],
    signal?: AbortSignal,
    keepPrompt = false,
  ): Promise<void> {
    this.#checkPrompt(prompt);
    await this.#exclusive(async () => {
      for (let first = 0; first < draws.length; first += this.texts) {
        const group = draws.slice(first, first + this.texts);
        // Between two groups the prompt is still in the cache: decoding writes behind it.
        const logits = await this.#afterPrompt(
          prompt,
          options.adapterScale,
          keepPrompt || draws.length > this.texts,
        );
        await this.#drawGroup(prompt, options, group, logits, signal);
      }
      if (!keepPrompt) this.#prompt = null;
    });
  }

  async #drawGroup(
    prompt: readonly number[],
    options: Omit<GenerateOptions, 'seed'>,
    draws: readonly Draw[],
    afterPrompt: Float32Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const stops = new Set(options.stopIds);
    let going = draws.map((draw, text) => ({ draw, text, logits: afterPrompt }));
    this.#spreadPrompt(prompt.length, draws.length);
    for (let index = 0; index < options.maxTokens && going.length > 0; index++) {
      const past = prompt.length + index;
      const next: (NextToken & { draw: Draw })[] = [];
      for (const { draw, text, logits } of going) {
        const choice = chooseToken(logits, { ...options, seed: draw.seed }, index);
        if (stops.has(choice.id) || signal?.aborted) continue;
        if (draw.wanted(choice)) next.push({ draw, text, id: choice.id, past });
      }
      if (next.length === 0 || index + 1 >= options.maxTokens || past + 1 > this.maxLength) return;
      const rows = await this.#decoder.feedNext(next, options.adapterScale);
      going = next.map(({ draw, text }, row) => ({ draw, text, logits: rows[row] ?? afterPrompt }));
    }
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
