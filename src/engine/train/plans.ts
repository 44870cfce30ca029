/** The plans of a training session: forward with backward, forward alone, and the optimizer step. */
import { PlanBuilder, externalTensor, type TensorRef } from '../gpu/plan.ts';
import type { Plan } from '../gpu/plan-run.ts';
import { pickWith } from '../gpu/tuning.ts';
import { decoderBackward, lowestAdaptedLayer, normBackward } from '../model/backward.ts';
import type { BaseModel } from '../model/base-model.ts';
import { decoderForward, finalRows, type Graph } from '../model/graph.ts';
import { adamW } from '../ops/adamw.ts';
import { gradNorm } from '../ops/grad-norm.ts';
import { headLoraGradient } from '../ops/head-lora.ts';
import { headForward, headGradient, scatterRows, type HeadInputs } from '../ops/head.ts';
import { loraDown } from '../ops/lora.ts';
import { lossCoefficient } from '../ops/loss.ts';
import type { AdapterState } from './adapter-state.ts';
import type { StepInputs } from './step-inputs.ts';

/** The path under which a model's output head is adapted. */
const HEAD_PATH = 'lm_head';

export interface StepPlan {
  plan: Plan;
  /** [1, head rows]: log-probability of each target. */
  logprob: { buffer: GPUBuffer; offset: number };
}

/** A builder with a micro-batch's forward pass, and with the backward pass when `gradient`. */
function recordStep(
  model: BaseModel,
  state: AdapterState,
  inputs: StepInputs,
  gradient: boolean,
): { plan: PlanBuilder; logprob: TensorRef } {
  const plan = new PlanBuilder(model.pool, model.kernels, inputs.batch);
  const pick = pickWith(model.tuning);
  const graph: Graph = {
    plan,
    pick,
    slot: (path) => state.slot(path),
    training: gradient,
    config: model.config,
    weights: model.weights,
    tokens: inputs.tokens,
    ropeTable: model.ropeTable,
    cache: null,
  };
  const { head } = inputs;
  const { x, tapes } = decoderForward(graph);
  const { picked, normed } = finalRows(graph, x, head.rows, inputs.rows);
  const slot = state.slot(HEAD_PATH);
  const z = slot ? loraDown(plan, normed.y, slot, { training: gradient, headRows: true }) : null;
  const headInputs: HeadInputs = {
    h: normed.y,
    weight: model.weights.head,
    targets: head.targets,
    lora: slot && z ? { slot, z } : null,
    pick,
  };
  const output = headForward(plan, headInputs, gradient && !slot);
  plan.keep(output.logprob);
  if (gradient) {
    const coefficient = lossCoefficient(plan, output.logprob, head.loss);
    const dh = slot
      ? headLoraGradient(plan, headInputs, output, coefficient)
      : headGradient(plan, headInputs, output, coefficient);
    if (lowestAdaptedLayer(graph) < model.config.numLayers) {
      const dPicked = plan.tensor('d head rows', inputs.rows, model.config.hiddenSize);
      normBackward(graph, dh, picked, model.weights.finalNorm, normed, dPicked, false, { rowsFrom: 'head' });
      const dx = plan.tensor('d hidden state', inputs.rows, model.config.hiddenSize);
      scatterRows(plan, dPicked, head.rows, dx);
      decoderBackward(graph, tapes, dx);
    }
  }
  return { plan, logprob: output.logprob };
}

/** Builds the plan of one micro-batch. */
export async function buildStepPlan(
  model: BaseModel,
  state: AdapterState,
  inputs: StepInputs,
  gradient: boolean,
): Promise<StepPlan> {
  const { plan: builder, logprob } = recordStep(model, state, inputs, gradient);
  const plan = await builder.build(gradient ? 'train' : 'evaluate');
  return { plan, logprob: plan.locate(logprob) };
}

/** Bytes of activations that a plan will take, without building it. */
export function activationBytes(
  model: BaseModel,
  state: AdapterState,
  inputs: StepInputs,
  gradient: boolean,
): number {
  return recordStep(model, state, inputs, gradient).plan.arenaBytes();
}

export interface OptimizerPlan {
  plan: Plan;
  /** [1, 1]: global norm of the gradient before clipping. */
  norm: { buffer: GPUBuffer; offset: number };
}

/** Builds the optimizer step: norm, AdamW over the flat buffers, gradients back to zero. */
export async function buildOptimizerPlan(
  model: BaseModel,
  state: AdapterState,
  hyper: TensorRef,
  batch: GPUBuffer,
): Promise<OptimizerPlan> {
  const builder = new PlanBuilder(model.pool, model.kernels, batch);
  const { floats } = state.layout;
  const flat = (label: string, buffer: GPUBuffer): TensorRef => externalTensor(label, buffer, 1, floats);
  const grads = flat('grads', state.grads);
  const norm = builder.keep(gradNorm(builder, grads, floats));
  adamW(
    builder,
    {
      params: flat('params', state.params),
      grads,
      expAvg: flat('expAvg', state.expAvg),
      expAvgSq: flat('expAvgSq', state.expAvgSq),
      hyper,
      norm,
    },
    floats,
  );
  builder.clear(grads);
  const plan = await builder.build('optimizer');
  return { plan, norm: plan.locate(norm) };
}
