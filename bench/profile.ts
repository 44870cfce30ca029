/** Where the time of a training step goes: each group of equal dispatches alone, repeated. */
import { buildOptimizerPlan, buildStepPlan } from '../src/engine/train/plans.ts';
import { AdapterState } from '../src/engine/train/adapter-state.ts';
import { StepInputs } from '../src/engine/train/step-inputs.ts';
import { externalWords } from '../src/engine/gpu/plan.ts';
import type { Plan } from '../src/engine/gpu/plan-run.ts';
import { ADAM_HYPER_WORDS, writeAdamHyper } from '../src/engine/ops/adamw.ts';
import { DEFAULT_FINETUNE, type BaseModel } from '../src/engine/index.ts';
import type { Context } from './context.ts';
import { loadRandom, loraSettings, smolConfig } from './model.ts';
import { dispatchesOf, replay, type Dispatch } from './replay.ts';
import { randomBatch } from './step.ts';
import { fixed, percent, table } from './table.ts';
import { takeTurns } from './timing.ts';

interface ProfileEntry {
  kernel: string;
  grid: string;
  dispatches: number;
  /** Milliseconds that these dispatches take in one step. */
  milliseconds: number;
  /** The same in CPU time of all threads, where a CPU computes. */
  cpu: number | null;
  gflops: number;
}

/** Dispatches of one kernel with one set of constants over one grid. */
function groups(plans: readonly Plan[]): { kernel: string; grid: string; steps: Dispatch[] }[] {
  const pipelines = new Map<GPUComputePipeline, number>();
  const found = new Map<string, { kernel: string; grid: string; steps: Dispatch[] }>();
  for (const step of plans.flatMap((plan) => dispatchesOf(plan.steps))) {
    const pipeline = pipelines.get(step.pipeline) ?? pipelines.size;
    pipelines.set(step.pipeline, pipeline);
    const grid = step.grid.join(' x ');
    // The work of a product depends on its inner size too.
    const key = `${pipeline} ${grid} ${step.flops}`;
    const group = found.get(key) ?? { kernel: step.name, grid, steps: [] };
    group.steps.push(step);
    found.set(key, group);
  }
  return [...found.values()];
}

async function profile(context: Context, model: BaseModel, tokens: number): Promise<ProfileEntry[]> {
  const { device } = context;
  const state = new AdapterState(model.pool, model.config, loraSettings(model.config), { seed: 0 });
  const inputs = new StepInputs(model.pool, tokens);
  inputs.write(randomBatch(model.config.vocabSize, tokens), { seed: 0, step: 1, micro: 0, adapterScale: 1 });
  const buffer = model.pool.create('inputs hyper', ADAM_HYPER_WORDS * 4);
  writeAdamHyper(device, buffer, { ...DEFAULT_FINETUNE, learningRate: 0, step: 1 });
  const step = await buildStepPlan(model, state, inputs, true);
  const hyper = externalWords('hyper', buffer, ADAM_HYPER_WORDS);
  const optimizer = await buildOptimizerPlan(model, state, hyper, inputs.batch);
  const plans = [step.plan, optimizer.plan];
  for (const plan of plans) plan.run(model.pace);
  await device.queue.onSubmittedWorkDone();
  const entries: ProfileEntry[] = [];
  for (const { kernel, grid, steps } of groups(plans)) {
    const [timing] = await takeTurns(
      [replay(device, kernel, steps)],
      context.quick ? 3 : 7,
      context.cpuClock,
    );
    if (!timing) continue;
    entries.push({
      kernel,
      grid,
      dispatches: steps.length,
      milliseconds: timing.best,
      cpu: timing.cpu,
      gflops: timing.bestRate,
    });
  }
  for (const plan of plans) plan.dispose();
  state.dispose();
  inputs.dispose();
  model.pool.destroy(buffer);
  return entries.sort((a, b) => b.milliseconds - a.milliseconds);
}

/** Profiles the step of 4 layers with both vocabularies. */
export async function profilePart(context: Context): Promise<unknown> {
  const results: { vocabulary: number; tokens: number; entries: ProfileEntry[] }[] = [];
  for (const vocabulary of context.quick ? [4096] : [49152, 4096]) {
    const tokens = 128;
    const model = await loadRandom(context.device, smolConfig(4, vocabulary));
    const entries = await profile(context, model, tokens);
    model.dispose();
    results.push({ vocabulary, tokens, entries });
    const total = entries.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const cpuTotal = entries.reduce((sum, { cpu }) => sum + (cpu ?? 0), 0);
    const rows = entries.map((entry) => [
      entry.kernel,
      entry.grid,
      String(entry.dispatches),
      fixed(entry.milliseconds, 2),
      percent(entry.milliseconds / total),
      fixed(entry.cpu, 2),
      percent(entry.cpu === null ? null : entry.cpu / cpuTotal),
      fixed(entry.gflops),
    ]);
    context.print(`4 layers, vocabulary ${vocabulary}, ${tokens} tokens: ${fixed(total)} ms in all kernels`);
    context.print(
      table(['kernel', 'grid', 'dispatches', 'ms per step', 'share', 'CPU ms', 'share', 'GFLOP/s'], rows),
    );
  }
  return results;
}
