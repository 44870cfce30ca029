/** `lorikeet devices`: the GPUs that `--device` can name. */
import { StudioError } from '../errors.ts';
import { findDevices } from './gpu.ts';
import type { CommonOptions } from './options.ts';
import { bytes } from './words.ts';

/** Runs the command. */
export async function devices({ json }: CommonOptions): Promise<void> {
  const found = await findDevices();
  if (found.length === 0) {
    throw new StudioError({
      code: 'GPU_UNAVAILABLE',
      message: 'There is no GPU that can be used.',
      fix: "Install the GPU's Vulkan driver, or Chromium, which brings a software driver.",
    });
  }
  if (json) {
    process.stdout.write(`${JSON.stringify({ devices: found })}\n`);
    return;
  }
  for (const { device, name, software, maxBufferSize, features } of found) {
    const kind = software ? 'software, slow' : 'hardware';
    const half = features.includes('shader-f16') ? 'yes' : 'no';
    process.stdout.write(
      `${device}\n  ${name}\n  ${kind}; largest buffer ${bytes(maxBufferSize)}; shader-f16: ${half}\n`,
    );
  }
}
