/**
 * One adapter in training on a loaded model: `forwardBackward`, `optimStep`, `evaluate`, and reading the adapter back.
 * Everything is built before the first step; steps only encode and submit.
 */
import { StudioError } from '../../errors.ts';
import type { Adapter, LoraSettings } from '../../formats/adapter.ts';
import { withErrorScopes } from '../gpu/errors.ts';
import { externalWords, type TensorRef } from '../gpu/plan.ts';
import { ReadbackRing } from '../gpu/readback.ts';
import type { BaseModel } from '../model/base-model.ts';
import { ADAM_HYPER_WORDS, writeAdamHyper } from '../ops/adamw.ts';
import { checkAdamParams, refuseOption } from './adam-params.ts';
import { AdapterState, type AdapterStart } from './adapter-state.ts';
import type { PackedBatch } from './batcher.ts';
import { gradientNorms, type GradientNorms } from './gradient-norms.ts';
import type { LossBatch } from './loss-data.ts';
import { LOSS_NAMES, type Loss } from './losses.ts';
import {
  activationBytes,
  buildOptimizerPlan,
  buildStepPlan,
  type OptimizerPlan,
  type StepPlan,
} from './plans.ts';
import { StepInputs } from './step-inputs.ts';
import type { AdamParams } from './types.ts';

export interface SessionOptions {
  settings: LoraSettings;
  start: AdapterStart;
  /** The most tokens that one micro-batch has. */
  maxTokens: number;
  /** Also build the plan that evaluates. */
  evaluate: boolean;
  /** False builds nothing that trains: for evaluation alone. */
  train?: boolean;
}

export interface SessionMemory {
  weights: number;
  /** Parameters, gradients and both moments. */
  adapter: number;
  activations: number;
  total: number;
}

/** Rows of a plan come in steps of this: whole tiles of the products. */
const ROW_STEP = 32;

export class TrainingSession {
  readonly model: BaseModel;
  readonly state: AdapterState;
  readonly #inputs: StepInputs;
  readonly #train: StepPlan | null;
  readonly #evaluate: StepPlan | null;
  readonly #optimizer: OptimizerPlan | null;
  readonly #hyper: TensorRef & { buffer: GPUBuffer };
  readonly #ring: ReadbackRing;

  private constructor(
    model: BaseModel,
    state: AdapterState,
    inputs: StepInputs,
    plans: { train: StepPlan | null; evaluate: StepPlan | null; optimizer: OptimizerPlan | null },
    hyper: TensorRef & { buffer: GPUBuffer },
  ) {
    this.model = model;
    this.state = state;
    this.#inputs = inputs;
    this.#train = plans.train;
    this.#evaluate = plans.evaluate;
    this.#optimizer = plans.optimizer;
    this.#hyper = hyper;
    this.#ring = new ReadbackRing(model.pool, Math.max(16, inputs.rows * 4));
  }

  /** Allocates and compiles everything. Throws ADAPTER_MISMATCH, GPU_LIMIT or MEMORY_EXCEEDED; then nothing stays allocated. */
  static async create(model: BaseModel, options: SessionOptions): Promise<TrainingSession> {
    const state = new AdapterState(model.pool, model.config, options.settings, options.start);
    const rows = Math.ceil(options.maxTokens / ROW_STEP) * ROW_STEP;
    const inputs = new StepInputs(model.pool, rows);
    const buffer = model.pool.create('inputs hyper', ADAM_HYPER_WORDS * 4);
    const hyper = { ...externalWords('hyper', buffer, ADAM_HYPER_WORDS), buffer };
    try {
      return await withErrorScopes(model.device, 'this run', async () => {
        const trains = options.train ?? true;
        const train = trains ? await buildStepPlan(model, state, inputs, true) : null;
        const evaluate = options.evaluate ? await buildStepPlan(model, state, inputs, false) : null;
        const optimizer = trains ? await buildOptimizerPlan(model, state, hyper, inputs.batch) : null;
        return new TrainingSession(model, state, inputs, { train, evaluate, optimizer }, hyper);
      });
    } catch (error) {
      state.dispose();
      inputs.dispose();
      model.pool.destroy(buffer);
      throw error;
    }
  }

  /** The most tokens that one micro-batch may have. */
  get maxTokens(): number {
    return this.#inputs.rows;
  }

  /** GPU bytes by what they are for. */
  memory(): SessionMemory {
    const kinds = this.model.pool.byKind();
    const total = this.model.pool.bytes;
    const weights = kinds['weights'] ?? 0;
    const adapter = kinds['adapter'] ?? 0;
    return { weights, adapter, activations: total - weights - adapter, total };
  }

  /** Bytes of activations that training takes. */
  activationBytes(): number {
    return activationBytes(this.model, this.state, this.#inputs, true);
  }

  /**
   * Queues a micro-batch: its gradients add to what is accumulated. Resolves with the log-probability of each target,
   * in the order of `headRows`. `step` and `micro` key the dropout.
   */
  async forwardBackward(
    packed: PackedBatch,
    keys: { seed: number; step: number; micro: number },
  ): Promise<Float32Array> {
    if (!this.#train) throw untrained();
    return this.#run(this.#train, packed, { ...keys, adapterScale: 1 });
  }

  /** The same with another loss, of which `packed` carries the inputs: the gradient of its sum over the tokens. */
  async forwardBackwardLoss(
    packed: LossBatch,
    loss: Loss,
    keys: { seed: number; step: number; micro: number },
  ): Promise<Float32Array> {
    if (!this.#train) throw untrained();
    const numbers = { ...keys, adapterScale: 1, loss: LOSS_NAMES.indexOf(loss.name) };
    return this.#run(this.#train, packed, numbers);
  }

  /** Log-probabilities of the targets without gradients or dropout, whatever the loss. Scale 0 asks the base model. */
  async evaluate(packed: PackedBatch, adapterScale = 1): Promise<Float32Array> {
    if (!this.#evaluate) throw new Error('This session was made without evaluation.');
    return this.#run(this.#evaluate, packed, { seed: 0, step: 0, micro: 0, adapterScale });
  }

  async #run(
    { plan, logprob }: StepPlan,
    packed: PackedBatch,
    numbers: { seed: number; step: number; micro: number; adapterScale: number; loss?: number },
  ): Promise<Float32Array> {
    const count = packed.headRows.length;
    if (count === 0) return new Float32Array(0);
    const slot = await this.#ring.acquire();
    this.#inputs.write(packed, { ...numbers, seed: numbers.seed >>> 0 });
    const started = performance.now();
    plan.run(this.model.pace);
    const bytes = await slot.read(logprob.buffer, logprob.offset, count * 4);
    this.model.pace.measured(
      (plan.flops() * packed.ids.length) / this.#inputs.rows,
      performance.now() - started,
    );
    return new Float32Array(bytes);
  }

  /**
   * Applies the accumulated gradient, divided by `divisor`, as step number `step` (1 for the first) and clears it; without
   * any gradient the moments move the weights alone. Resolves with the divided gradient's global norm before clipping;
   * when that is not finite, nothing was applied. Throws OPTION_INVALID; then nothing was applied or cleared.
   */
  async optimStep(step: number, params: AdamParams, divisor = 1): Promise<number> {
    if (!this.#optimizer) throw untrained();
    checkAdamParams(params);
    if (!(divisor > 0 && divisor < Infinity)) refuseOption('divisor', divisor, 'a number above 0');
    const slot = await this.#ring.acquire();
    writeAdamHyper(this.model.device, this.#hyper.buffer, { ...params, step, divisor });
    this.#optimizer.plan.run(this.model.pace);
    const { buffer, offset } = this.#optimizer.norm;
    const norm = new Float32Array(await slot.read(buffer, offset, 4));
    return (norm[0] ?? NaN) / divisor;
  }

  /** Drops the accumulated gradient, whole: after a pass that failed, what is left of it must not reach a step. */
  async clearGradients(): Promise<void> {
    await this.#inTurn(() => {
      this.state.clear('grads');
    });
  }

  /** Norms of the accumulated gradient, divided by `divisor`: of all of it, and of each module. */
  async gradientNorms(divisor = 1): Promise<GradientNorms> {
    return gradientNorms(await this.#inTurn(() => this.state.tensors('grads')), divisor);
  }

  /**
   * Another state into this session, with nothing built anew. What is not given is zero: weights alone are a start with
   * fresh moments. Throws ADAPTER_MISMATCH; then nothing was changed.
   */
  async load(start: AdapterStart): Promise<void> {
    await this.#inTurn(() => {
      this.state.load(start);
    });
  }

  /** Runs what queues work for the GPU behind all that was asked for before, and before all that is asked for later. */
  async #inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const slot = await this.#ring.acquire();
    try {
      return await work();
    } finally {
      await slot.read(this.#hyper.buffer, 0, 4);
    }
  }

  /** The adapter as it is now. */
  async adapter(): Promise<Pick<Adapter, 'settings' | 'tensors'>> {
    return { settings: this.state.settings, tensors: await this.state.tensors() };
  }

  /** The optimizer's moments as they are now, in the adapter's order: with the adapter and the step, all that resuming needs of the GPU. */
  async moments(): Promise<Record<'expAvg' | 'expAvgSq', Adapter['tensors']>> {
    return { expAvg: await this.state.tensors('expAvg'), expAvgSq: await this.state.tensors('expAvgSq') };
  }

  /** Frees everything but the model. */
  dispose(): void {
    this.#train?.plan.dispose();
    this.#evaluate?.plan.dispose();
    this.#optimizer?.plan.dispose();
    this.#ring.dispose();
    this.model.pool.destroy(this.#hyper.buffer);
    this.#inputs.dispose();
    this.state.dispose();
  }
}

function untrained(): Error {
  return new Error('This session was made without training.');
}

/** Throws LOSS_NOT_FINITE: names the step, the rows and the rate. */
export function refuseNonFinite(what: {
  step: number;
  rows: readonly number[];
  lr: number;
  loss: number;
  gradNorm: number;
}): never {
  throw new StudioError({
    code: 'LOSS_NOT_FINITE',
    message: `Step ${what.step} gave a loss of ${what.loss} and a gradient norm of ${what.gradNorm} at the learning rate ${what.lr} (rows ${what.rows.slice(0, 16).join(', ')}). The step was not applied.`,
    fix: 'Start again with a smaller learning rate, or turn gradient clipping on.',
  });
}
