/** GPU devices that were lost: what was computed on them is gone, and nothing of them is used again. */
import { LorikeetError } from '../api/errors.ts';
import { DeviceLostError, PrecedingOperationFailedError } from '../api/own-errors.ts';
import { mapError } from './map-error.ts';

/** How long the news of a loss may be behind a failure that it caused. */
const NEWS_MS = 100;

const watched = new WeakMap<GPUDevice, Promise<void>>();
const lost = new WeakMap<GPUDevice, string>();

/** Takes note of the device's loss, from now on. */
export function watchDevice(device: GPUDevice): void {
  if (watched.has(device)) return;
  watched.set(
    device,
    device.lost.then(({ message }) => void lost.set(device, message)),
  );
}

export const isLost = (device: GPUDevice): boolean => lost.has(device);

/** A failure of work on a device in the interface's classes: DeviceLostError where the device is lost. */
async function failureOn(device: GPUDevice, error: unknown): Promise<unknown> {
  // A step after the loss says that the gradient before it failed: what it failed of says more.
  if (error instanceof LorikeetError && !(error instanceof PrecedingOperationFailedError)) return error;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const soon = new Promise((resolve) => (timer = setTimeout(resolve, NEWS_MS)));
  await Promise.race([watched.get(device), soon]);
  clearTimeout(timer);
  const message = lost.get(device);
  if (message === undefined) return mapError(error);
  return new DeviceLostError({
    message: `The GPU was lost${message === '' ? '' : `: ${message}`}`,
    fix: 'Go on from the last checkpoint, with smaller batches where it happens again. RecoveryExecutor does it by itself.',
    cause: error,
  });
}

/** Runs work on a device, and rejects with the interface's errors. */
export async function mappedOn<T>(device: GPUDevice, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw await failureOn(device, error);
  }
}
