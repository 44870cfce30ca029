/** Dawn in Node: finds a GPU, opens a device for one piece of work, and closes it so that the program can end. */
import { create, globals } from 'webgpu';
import { describeAdapter, requestEngineDevice, type DeviceInfo } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import { computesCorrectly, drivers } from './drivers.ts';
import type { Reporter } from './progress.ts';

Object.assign(globalThis, globals);

/** Dawn's GPU objects. When one is collected while anything of it is in use, the process dies, so all are kept. */
const held: GPU[] = [];

function createGpu(...flags: string[]): GPU {
  const gpu = create(flags);
  held.push(gpu);
  return gpu;
}

/** The GPU for some work. */
export interface OpenGpu {
  device: GPUDevice;
  info: DeviceInfo;
}

export interface FoundDevice extends DeviceInfo {
  /** What `--device` takes: the name that Dawn gives it. */
  device: string;
}

/** The names that Dawn gives to its adapters; it tells them only in the message for a name that it does not know. */
async function dawnNames(): Promise<string[]> {
  try {
    await createGpu('adapter=(list)').requestAdapter();
    return [];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return Array.from(message.matchAll(/name: '(.*)'$/gm), (match) => match[1] ?? '');
  }
}

/** Every device of every driver, and what it offers. */
export async function findDevices(): Promise<FoundDevice[]> {
  const found = new Map<string, FoundDevice>();
  await inTurn(async () => {
    for (const device of await dawnNames()) {
      const adapter = await createGpu(`adapter=${device}`).requestAdapter();
      if (adapter && !found.has(device)) found.set(device, { device, ...describeAdapter(adapter) });
    }
    return null;
  });
  return [...found.values()];
}

/** The first adapter that will do, or the one whose name was asked for. */
async function findAdapter(wanted: string): Promise<GPUAdapter> {
  const seen: string[] = [];
  const found = await inTurn(async () => {
    if (wanted === 'auto') {
      const adapter = await createGpu().requestAdapter({ powerPreference: 'high-performance' });
      if (adapter && computesCorrectly(adapter.info.description)) return adapter;
      if (adapter) seen.push(adapter.info.description);
      return null;
    }
    const names = await dawnNames();
    const name = names.find((candidate) => candidate.toLowerCase().includes(wanted.toLowerCase()));
    seen.push(...names);
    return name === undefined ? null : createGpu(`adapter=${name}`).requestAdapter();
  });
  if (found) return found;
  throw noDevice(wanted, [...new Set(seen)]);
}

/** Looks with one driver after another in force, until something is found; then the first one is in force again. */
async function inTurn<T>(look: () => Promise<T | null>): Promise<T | null> {
  const list = drivers();
  try {
    for (const driver of list) {
      driver.use();
      const found = await look();
      if (found !== null) return found;
    }
    return null;
  } finally {
    list[0]?.use();
  }
}

function noDevice(wanted: string, seen: readonly string[]): StudioError {
  const found = seen.length > 0 ? ` Found: ${seen.join('; ')}.` : '';
  if (wanted !== 'auto') {
    return new StudioError({
      code: 'GPU_UNAVAILABLE',
      message: `There is no GPU named ${wanted}.${found}`,
      fix: 'Choose one that `lorikeet devices` lists, or auto.',
    });
  }
  return new StudioError({
    code: 'GPU_UNAVAILABLE',
    message: `There is no GPU that can be used.${found}`,
    fix: "Install the GPU's Vulkan driver, or Chromium, which brings a software driver.",
  });
}

/** A device that stays open until it is closed. */
export interface HeldGpu extends OpenGpu {
  /** What the GPU itself has reported so far, which explains a failure best. */
  trouble(): StudioError | undefined;
  /** Destroys the device: without that, Node would not end. */
  close(): void;
}

/** Opens a device. Throws GPU_UNAVAILABLE or GPU_LIMIT. */
export async function openGpu(wanted: string, report: Reporter): Promise<HeldGpu> {
  const adapter = await findAdapter(wanted);
  const info = describeAdapter(adapter);
  const device = await requestEngineDevice(adapter);
  report.note(`GPU: ${info.name}${info.software ? ' (software: correct, and slow)' : ''}`);
  let trouble: StudioError | undefined;
  device.onuncapturederror = ({ error }) => {
    trouble ??= new StudioError({
      code: 'GPU_ERROR',
      message: `The GPU reported an error: ${error.message}`,
      fix: 'Update the graphics driver; if that does not help, please report it.',
    });
  };
  let closing = false;
  void device.lost.then(({ message }) => {
    if (closing) return;
    trouble = new StudioError({
      code: 'GPU_LOST',
      message: `The GPU was lost: ${message}`,
      fix: 'Try again with a smaller batch or a shorter maximum length, or update the graphics driver.',
    });
  });
  return {
    device,
    info,
    trouble: () => trouble,
    close: () => {
      closing = true;
      device.destroy();
      // A last look at them, so that nothing takes them for unused before.
      for (const gpu of held) void gpu.wgslLanguageFeatures;
    },
  };
}

/** Opens a device for `work` and closes it afterwards. */
export async function withGpu<T>(
  wanted: string,
  report: Reporter,
  work: (gpu: OpenGpu) => Promise<T>,
): Promise<T> {
  const gpu = await openGpu(wanted, report);
  try {
    const result = await work({ device: gpu.device, info: gpu.info });
    // The GPU's own reports come with a delay.
    await gpu.device.queue.onSubmittedWorkDone();
    const trouble = gpu.trouble();
    if (trouble) throw trouble;
    return result;
  } catch (error) {
    throw gpu.trouble() ?? error;
  } finally {
    gpu.close();
  }
}
