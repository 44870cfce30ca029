/** Dispatches of a built plan as something to be timed, all repetitions in one submit. */
import type { PlanStep } from '../src/engine/gpu/plan-run.ts';
import type { Subject } from './timing.ts';

export type Dispatch = Extract<PlanStep, { pipeline: GPUComputePipeline }>;

/** The dispatches among a plan's steps. */
export function dispatchesOf(steps: readonly PlanStep[]): Dispatch[] {
  return steps.flatMap((step) => ('clear' in step ? [] : step));
}

/** These dispatches, one behind another, as a subject. */
export function replay(device: GPUDevice, name: string, steps: readonly Dispatch[]): Subject {
  return {
    name,
    flops: steps.reduce((sum, { flops }) => sum + flops, 0),
    run: async (repeats) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let i = 0; i < repeats; i++) {
        for (const { pipeline, bindGroup, grid } of steps) {
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, bindGroup);
          pass.dispatchWorkgroups(...grid);
        }
      }
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    },
  };
}
