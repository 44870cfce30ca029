/** The adapter's peak: a kernel of fused multiply-adds on registers. All other rates are given as shares of it. */
import { STORAGE_USAGE } from '../src/engine/gpu/constants.ts';
import type { Context } from './context.ts';
import text from './fma-probe.wgsl?raw';
import { fixed, table } from './table.ts';
import { takeTurns, type Subject } from './timing.ts';

const WORKGROUPS = 256;
const FLOPS = WORKGROUPS * 64 * 512 * 8 * 4 * 2;

/** The probe as a subject, to be timed between others. */
export async function probeSubject(device: GPUDevice): Promise<Subject> {
  const module = device.createShaderModule({ label: 'fma probe', code: text });
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module, entryPoint: 'main' },
  });
  const buffer = device.createBuffer({
    label: 'fma probe',
    size: WORKGROUPS * 64 * 16,
    usage: STORAGE_USAGE,
  });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  return {
    name: 'FMA probe',
    flops: FLOPS,
    run: async (repeats) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(WORKGROUPS);
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    },
  };
}

/** Times the probe alone. */
export async function probePart({ device, quick, print }: Context): Promise<unknown> {
  const [probe] = await takeTurns([await probeSubject(device)], quick ? 7 : 25);
  if (!probe) throw new Error('The probe was not timed.');
  print(
    table(['', 'best GFLOP/s', 'median'], [['FMA probe', fixed(probe.bestRate), fixed(probe.medianRate)]]),
  );
  return { bestRate: probe.bestRate, medianRate: probe.medianRate };
}
