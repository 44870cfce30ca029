/** Turns WebGPU's error scopes into errors that a person can act on. */
import { StudioError } from '../../errors.ts';

/** Runs `work` inside error scopes. Throws MEMORY_EXCEEDED or GPU_ERROR when the GPU reported one, else what the work threw. */
export async function withErrorScopes<T>(
  device: GPUDevice,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  // Settled first: the scopes must be popped even when the work failed, and the GPU's own report explains a failure best.
  const [outcome] = await Promise.allSettled([work()]);
  const memory = await device.popErrorScope();
  const validation = await device.popErrorScope();
  if (memory) {
    throw new StudioError({
      code: 'MEMORY_EXCEEDED',
      message: `The GPU has not enough memory for ${what}: ${memory.message}`,
      fix: 'Choose a smaller model, a shorter maximum length, a smaller rank, or close other programs that use the GPU.',
    });
  }
  if (validation && outcome.status === 'fulfilled') {
    throw new StudioError({
      code: 'GPU_ERROR',
      message: `The GPU refused ${what}: ${validation.message}`,
      fix: 'Update the browser or the graphics driver; if that does not help, please report it.',
    });
  }
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}
