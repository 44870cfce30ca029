/** Feeds tokens through the model with a key/value cache: a prompt in pieces, or the next token of several texts at once. */
import { createBatchBuffer, writeBatch } from '../gpu/batch.ts';
import { PlanBuilder, externalWords, paddedCols, type TensorRef } from '../gpu/plan.ts';
import type { Plan } from '../gpu/plan-run.ts';
import { ReadbackRing } from '../gpu/readback.ts';
import { pickWith } from '../gpu/tuning.ts';
import type { BaseModel } from '../model/base-model.ts';
import { decoderForward, finalRows } from '../model/graph.ts';
import { spreadPrompt } from '../ops/cache.ts';
import { gemmForward } from '../ops/gemm.ts';
import { loraDown, type AdapterSlot } from '../ops/lora.ts';
import { KvCache, textsAtOnce } from './kv-cache.ts';

/** What decoding needs of an adapter: its slots, as they are while it trains. */
export interface AdapterSource {
  slot(path: string): AdapterSlot | null;
}

/** The next token of a text, and how many tokens the text has before it. */
export interface NextToken {
  text: number;
  id: number;
  past: number;
}

/** Rows of the prompt that one submit takes. */
const PREFILL_ROWS = 64;

type Field = 'ids' | 'positions' | 'segStart' | 'cacheRows' | 'lastRow';

interface LogitsPlan {
  rows: number;
  plan: Plan;
  /** [headRows, vocabulary] */
  logits: { buffer: GPUBuffer; offset: number };
}

export class Decoder {
  readonly model: BaseModel;
  /** Tokens that a text can have. */
  readonly maxLength: number;
  readonly #batch: GPUBuffer;
  readonly #inputs: ReadonlyMap<Field, GPUBuffer>;
  readonly #cache: KvCache;
  readonly #ring: ReadbackRing;
  #prefill: LogitsPlan | undefined;
  #single: LogitsPlan | undefined;
  /** Null where one text is decoded at a time. */
  #several: LogitsPlan | null = null;
  #spread: Plan | null = null;

  private constructor(model: BaseModel, maxLength: number, texts: number) {
    this.model = model;
    const { pool, config } = model;
    this.maxLength = Math.min(maxLength, config.maxPositions);
    this.#batch = createBatchBuffer(pool.device);
    this.#cache = new KvCache(pool, config, this.maxLength, textsAtOnce(pool, config, this.maxLength, texts));
    const rows = Math.max(PREFILL_ROWS, this.#cache.texts);
    const field = (name: Field): [Field, GPUBuffer] => [name, pool.create(`inputs ${name}`, rows * 4)];
    this.#inputs = new Map((['ids', 'positions', 'segStart', 'cacheRows', 'lastRow'] as const).map(field));
    this.#ring = new ReadbackRing(pool, this.#cache.texts * this.#stride * 4, 1);
  }

  /** Builds the plans for texts of up to `maxLength` tokens, as many at once as fit of those asked for. */
  static async create(
    model: BaseModel,
    adapter: AdapterSource | null,
    { maxLength, texts }: { maxLength: number; texts: number },
  ): Promise<Decoder> {
    const decoder = new Decoder(model, maxLength, texts);
    try {
      decoder.#prefill = await decoder.#build(adapter, PREFILL_ROWS, false);
      decoder.#single = await decoder.#build(adapter, 1, true);
      if (decoder.texts > 1) {
        decoder.#several = await decoder.#build(adapter, decoder.texts, true);
        decoder.#spread = await decoder.#buildSpread();
      }
      return decoder;
    } catch (error) {
      decoder.dispose();
      throw error;
    }
  }

  /** Texts that can be decoded side by side. */
  get texts(): number {
    return this.#cache.texts;
  }

  /** Floats in a row of logits. */
  get #stride(): number {
    return paddedCols(this.model.config.vocabSize);
  }

  #words(field: Field, count: number): TensorRef {
    return externalWords(field, this.#buffer(field), count);
  }

  #buffer(field: Field): GPUBuffer {
    const buffer = this.#inputs.get(field);
    if (!buffer) throw new Error(`No input ${field}.`);
    return buffer;
  }

  async #build(adapter: AdapterSource | null, rows: number, sideBySide: boolean): Promise<LogitsPlan> {
    const { model } = this;
    const { config, weights } = model;
    const plan = new PlanBuilder(model.pool, model.kernels, this.#batch);
    const tokens = {
      rows,
      ids: this.#words('ids', rows),
      positions: this.#words('positions', rows),
      segStart: this.#words('segStart', rows),
      segEnd: this.#words('segStart', rows),
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
      cache: { layers: this.#cache.layers, rows: this.#words('cacheRows', rows), sideBySide },
    };
    const { x } = decoderForward(graph);
    // Of a piece of a prompt only the last row is asked for.
    const headRows = sideBySide ? rows : 1;
    const { normed } = finalRows(graph, x, this.#words('lastRow', headRows), headRows);
    const headSlot = slot('lm_head');
    const lora = headSlot
      ? { slot: headSlot, z: loraDown(plan, normed.y, headSlot, { training: false, headRows: true }) }
      : null;
    const logits = plan.keep(plan.tensor('logits', headRows, config.vocabSize));
    const variant = pick('forward', headRows, weights.head.in, weights.head.out);
    gemmForward(plan, { x: normed.y, weight: weights.head, lora }, logits, { variant, headRows: true });
    const built = await plan.build(sideBySide ? 'decode' : 'prefill');
    return { rows, plan: built, logits: built.locate(logits) };
  }

  #buildSpread(): Promise<Plan> {
    const { pool, kernels } = this.model;
    const plan = new PlanBuilder(pool, kernels, this.#batch);
    for (const { k, v } of this.#cache.layers) {
      spreadPrompt(plan, k, this.maxLength);
      spreadPrompt(plan, v, this.maxLength);
    }
    return plan.build('spread');
  }

  #write(field: Field, words: readonly number[]): void {
    this.model.device.queue.writeBuffer(this.#buffer(field), 0, Uint32Array.from(words));
  }

  /** Feeds tokens of a text behind its first `past` ones; resolves with the logits after the last. */
  async feed(ids: readonly number[], past: number, adapterScale: number, text = 0): Promise<Float32Array> {
    const start = text * this.maxLength;
    const slot = await this.#ring.acquire();
    let logits: Promise<ArrayBuffer> | undefined;
    for (let from = 0; from < ids.length;) {
      const target = ids.length - from === 1 ? this.#single : this.#prefill;
      if (!target) throw new Error('The decoder is not built.');
      const chunk = ids.slice(from, from + target.rows);
      const places = chunk.map((_, index) => past + from + index);
      writeBatch(this.model.device, this.#batch, {
        tokens: chunk.length,
        headRows: 1,
        keyOffset: start + past + from,
        adapterScale,
      });
      this.#write('ids', chunk);
      this.#write('positions', places);
      this.#write(
        'cacheRows',
        places.map((place) => start + place),
      );
      this.#write(
        'segStart',
        chunk.map(() => start),
      );
      this.#write('lastRow', [chunk.length - 1]);
      target.plan.run(this.model.pace);
      from += chunk.length;
      if (from === ids.length)
        logits = slot.read(target.logits.buffer, target.logits.offset, this.#stride * 4);
    }
    if (!logits) throw new Error('Nothing was fed.');
    return new Float32Array(await logits, 0, this.model.config.vocabSize);
  }

  /** Gives the first `count` tokens of a text, already fed, to the texts behind it, until `texts` have them. */
  spread(count: number, text: number, texts: number): void {
    if (texts < 2) return;
    if (!this.#spread) throw new Error('The decoder takes one text at a time.');
    writeBatch(this.model.device, this.#batch, {
      tokens: count,
      headRows: texts,
      keyOffset: text * this.maxLength,
    });
    this.#spread.run(this.model.pace);
  }

  /** Feeds one token each of several texts; resolves with the logits after each, in their order. */
  async feedNext(next: readonly NextToken[], adapterScale: number): Promise<Float32Array[]> {
    const target = next.length === 1 ? this.#single : this.#several;
    if (!target || next.length > target.rows) throw new Error(`${String(next.length)} texts do not fit.`);
    const slot = await this.#ring.acquire();
    writeBatch(this.model.device, this.#batch, { tokens: next.length, headRows: next.length, adapterScale });
    const base = ({ text }: NextToken): number => text * this.maxLength;
    this.#write(
      'ids',
      next.map(({ id }) => id),
    );
    this.#write(
      'positions',
      next.map(({ past }) => past),
    );
    this.#write('segStart', next.map(base));
    this.#write(
      'cacheRows',
      next.map((token) => base(token) + token.past),
    );
    this.#write(
      'lastRow',
      next.map((_, row) => row),
    );
    target.plan.run(this.model.pace);
    const stride = this.#stride * 4;
    const bytes = await slot.read(target.logits.buffer, target.logits.offset, next.length * stride);
    return next.map((_, row) => new Float32Array(bytes, row * stride, this.model.config.vocabSize));
  }

  /** Frees everything but the model and the adapter. */
  dispose(): void {
    const { pool } = this.model;
    for (const built of [this.#prefill, this.#single, this.#several]) built?.plan.dispose();
    this.#spread?.dispose();
    this.#ring.dispose();
    for (const buffer of this.#inputs.values()) pool.destroy(buffer);
    this.#cache.dispose();
    this.#batch.destroy();
  }
}
