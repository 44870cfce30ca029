/** Decoding with a key/value cache: the prompt in chunks, then a token at a time; streams tokens with their log-probabilities. */
import { StudioError } from '../../errors.ts';
import { createBatchBuffer, writeBatch } from '../gpu/batch.ts';
import { withErrorScopes } from '../gpu/errors.ts';
import { PlanBuilder, externalTensor, externalWords, type TensorRef } from '../gpu/plan.ts';
import type { Plan } from '../gpu/plan-run.ts';
import { ReadbackRing } from '../gpu/readback.ts';
import { pickWith } from '../gpu/tuning.ts';
import type { BaseModel } from '../model/base-model.ts';
import { decoderForward, finalRows } from '../model/graph.ts';
import { gemmForward } from '../ops/gemm.ts';
import { loraDown, type AdapterSlot } from '../ops/lora.ts';
import type { GenerateOptions } from '../train/types.ts';
import { chooseToken, logSumExp, type Choice } from './choose.ts';

/** What a generator needs of an adapter: its slots, as they are while it trains. */
export interface AdapterSource {
  slot(path: string): AdapterSlot | null;
}

/** Rows of the prompt that one submit takes. */
const PREFILL_ROWS = 64;

interface DecodePlan {
  rows: number;
  plan: Plan;
  /** [1, vocabulary]: of the last row. */
  logits: { buffer: GPUBuffer; offset: number };
}

type Field = 'ids' | 'positions' | 'segStart' | 'lastRow';

export class Generator {
  readonly model: BaseModel;
  readonly maxLength: number;
  readonly #batch: GPUBuffer;
  readonly #inputs: ReadonlyMap<Field, GPUBuffer>;
  readonly #caches: { k: TensorRef; v: TensorRef }[];
  readonly #cacheBuffers: GPUBuffer[] = [];
  readonly #ring: ReadbackRing;
  #prefill: DecodePlan | undefined;
  #step: DecodePlan | undefined;
  #busy = false;
  /** The prompt whose keys and values lie in the cache, and the logits after it. */
  #prompt: { ids: readonly number[]; adapterScale: number; logits: Float32Array } | null = null;

  private constructor(model: BaseModel, maxLength: number) {
    this.model = model;
    this.maxLength = Math.min(maxLength, model.config.maxPositions);
    const { pool, config } = model;
    this.#batch = createBatchBuffer(pool.device);
    const field = (name: Field, words: number): [Field, GPUBuffer] => [
      name,
      pool.create(`inputs ${name}`, words * 4),
    ];
    this.#inputs = new Map([
      field('ids', PREFILL_ROWS),
      field('positions', PREFILL_ROWS),
      field('segStart', PREFILL_ROWS),
      field('lastRow', 1),
    ]);
    const width = config.numKvHeads * config.headDim;
    const cache = (name: string): TensorRef => {
      const buffer = pool.create(`cache ${name}`, this.maxLength * width * 4);
      this.#cacheBuffers.push(buffer);
      return externalTensor(name, buffer, this.maxLength, width);
    };
    this.#caches = Array.from({ length: config.numLayers }, (_, index) => ({
      k: cache(`k ${index}`),
      v: cache(`v ${index}`),
    }));
    this.#ring = new ReadbackRing(pool, config.vocabSize * 4, 1);
  }

  /** Builds the plans for texts of up to `maxLength` tokens; `adapter` null generates with the base model alone. */
  static async create(
    model: BaseModel,
    adapter: AdapterSource | null,
    maxLength: number,
  ): Promise<Generator> {
    const generator = new Generator(model, maxLength);
    try {
      return await withErrorScopes(model.device, 'generating text', async () => {
        generator.#prefill = await generator.#build(adapter, PREFILL_ROWS);
        generator.#step = await generator.#build(adapter, 1);
        return generator;
      });
    } catch (error) {
      generator.dispose();
      throw error;
    }
  }

  async #build(adapter: AdapterSource | null, rows: number): Promise<DecodePlan> {
    const { model } = this;
    const { config, weights } = model;
    const plan = new PlanBuilder(model.pool, model.kernels, this.#batch);
    const words = (field: Field, count: number): TensorRef =>
      externalWords(field, this.#buffer(field), count);
    const tokens = {
      rows,
      ids: words('ids', rows),
      positions: words('positions', rows),
      segStart: words('segStart', rows),
      segEnd: words('segStart', rows),
    };
    const pick = pickWith(model.tuning);
    const slot = (path: string): AdapterSlot | null => adapter?.slot(path) ?? null;
    const graph = {
      plan,
      pick,
      slot,
      training: false,
      config,
      weights,
      tokens,
      ropeTable: model.ropeTable,
      caches: this.#caches,
    };
    const { x } = decoderForward(graph);
    const { normed } = finalRows(graph, x, words('lastRow', 1), 1);
    const headSlot = slot('lm_head');
    const lora = headSlot
      ? { slot: headSlot, z: loraDown(plan, normed.y, headSlot, { training: false, headRows: true }) }
      : null;
    const logits = plan.keep(plan.tensor('logits', 1, config.vocabSize));
    const variant = pick('forward', 1, weights.head.in, weights.head.out);
    gemmForward(plan, { x: normed.y, weight: weights.head, lora }, logits, { variant, headRows: true });
    const built = await plan.build(rows === 1 ? 'decode' : 'prefill');
    return { rows, plan: built, logits: built.locate(logits) };
  }

  #buffer(field: Field): GPUBuffer {
    const buffer = this.#inputs.get(field);
    if (!buffer) throw new Error(`No input ${field}.`);
    return buffer;
  }

  /** Feeds tokens behind the first `past` ones and returns the logits after the last. */
  async #feed(ids: readonly number[], past: number, adapterScale: number): Promise<Float32Array> {
    const { device } = this.model;
    const slot = await this.#ring.acquire();
    let logits: Promise<ArrayBuffer> | undefined;
    for (let from = 0; from < ids.length;) {
      const target = ids.length - from === 1 ? this.#step : this.#prefill;
      if (!target) throw new Error('The generator is not built.');
      const chunk = ids.slice(from, from + target.rows);
      const keyOffset = past + from;
      writeBatch(device, this.#batch, { tokens: chunk.length, headRows: 1, keyOffset, adapterScale });
      device.queue.writeBuffer(this.#buffer('ids'), 0, Uint32Array.from(chunk));
      device.queue.writeBuffer(
        this.#buffer('positions'),
        0,
        Uint32Array.from(chunk, (_, index) => keyOffset + index),
      );
      device.queue.writeBuffer(this.#buffer('lastRow'), 0, Uint32Array.of(chunk.length - 1));
      target.plan.run(this.model.pace);
      from += chunk.length;
      if (from === ids.length)
        logits = slot.read(target.logits.buffer, target.logits.offset, this.model.config.vocabSize * 4);
    }
    if (!logits) throw new Error('Nothing was fed.');
    return new Float32Array(await logits);
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
    const logits = await this.#feed(ids, 0, adapterScale);
    if (keep) this.#prompt = { ids: [...ids], adapterScale, logits };
    return logits;
  }

  /** Logits after the last of these tokens, [vocabulary]. */
  async logits(ids: readonly number[], adapterScale = 1): Promise<Float32Array> {
    this.#checkPrompt(ids);
    return this.#exclusive(() => {
      this.#prompt = null;
      return this.#feed(ids, 0, adapterScale);
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
        yield await this.#feed(ids.slice(index, index + 1), index, adapterScale);
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
        logits = await this.#feed([choice.id], past, options.adapterScale);
      }
    } finally {
      this.#busy = false;
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

  /** The cache holds one text at a time. */
  #claim(): void {
    if (this.#busy) throw new Error('This generator is already generating.');
    this.#busy = true;
  }

  /** Frees everything but the model and the adapter. */
  dispose(): void {
    const { pool } = this.model;
    this.#prefill?.plan.dispose();
    this.#step?.plan.dispose();
    this.#ring.dispose();
    for (const buffer of [...this.#inputs.values(), ...this.#cacheBuffers]) pool.destroy(buffer);
    this.#batch.destroy();
  }
}
