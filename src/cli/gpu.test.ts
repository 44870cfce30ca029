import { afterEach, expect, test, vi } from 'vitest';
import { findDevices, withGpu } from './gpu.ts';
import { createReporter } from './progress.ts';

const quiet = createReporter({ quiet: true });
afterEach(() => vi.unstubAllEnvs());

test('opens a device for some work, and says which', async () => {
  let written = '';
  const report = createReporter({ quiet: false }, { write: (text) => (written += text) });
  const name = await withGpu('auto', report, ({ device, info }) => {
    expect(device.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    return Promise.resolve(info.name);
  });
  expect(written).toContain(`GPU: ${name}`);
});

test('devices are found by a part of their name, in any case', async () => {
  const [first] = await findDevices();
  const part = (first?.device ?? '').slice(0, 6).toUpperCase();
  const info = await withGpu(part, quiet, (gpu) => Promise.resolve(gpu.info));
  expect(first).toMatchObject({ name: info.name });
});

test('a device that is not there is named, with those that are', async () => {
  const [first] = await findDevices();
  await expect(withGpu('Voodoo 2', quiet, () => Promise.resolve())).rejects.toMatchObject({
    code: 'GPU_UNAVAILABLE',
    message: expect.stringContaining(first?.device ?? 'nothing') as string,
  });
});

test('a failure of the work stays what it is', async () => {
  const failure = new Error('of the work');
  await expect(withGpu('auto', quiet, () => Promise.reject(failure))).rejects.toBe(failure);
});

test('an error that the GPU reports by itself is a failure', async () => {
  const work = withGpu('auto', quiet, ({ device }) => {
    device.createBuffer({ size: 16, usage: 0 });
    return Promise.resolve();
  });
  await expect(work).rejects.toMatchObject({ code: 'GPU_ERROR' });
});

test('a GPU that is lost on the way explains what fails after it', async () => {
  const work = withGpu('auto', quiet, async ({ device }) => {
    device.destroy();
    await device.lost;
    throw new Error('something else');
  });
  await expect(work).rejects.toMatchObject({ code: 'GPU_LOST' });
});
