// Vitest's global set-up: gives Dawn a driver before the workers start, unless the environment names one.
import { findChromium } from './lib/chromium.mjs';
import { chooseVulkan } from './lib/vulkan.mjs';

/** Where no driver works nothing is set: tests without a GPU still run, kernel tests fail by themselves. */
export async function setup() {
  if (process.env['VK_ICD_FILENAMES']) return;
  const choice = await chooseVulkan(findChromium);
  Object.assign(process.env, choice?.env);
}
