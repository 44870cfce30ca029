/**
 * Which limits and features to ask an adapter for. Policy only: the host obtains the adapter and keeps the device.
 */
import { StudioError } from '../../errors.ts';

/** Limits that let bigger models run when an adapter offers more than the default. */
const WANTED_LIMITS = ['maxBufferSize', 'maxStorageBufferBindingSize'] as const;

/** What the engine cannot do without; every WebGPU implementation offers it by default. */
const NEEDED_LIMITS = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
} as const;

/** Used where an adapter has them, never required. */
const WANTED_FEATURES = ['subgroups'] as const;

/** What to show about the device that computes. */
export interface DeviceInfo {
  /** Vendor, architecture and description in one line. */
  name: string;
  /** A software adapter: correct and slow. */
  software: boolean;
  maxBufferSize: number;
  maxBindingSize: number;
  features: string[];
}

/** Asks the adapter for a device with the limits the engine uses. Throws GPU_LIMIT when it cannot serve. */
export async function requestEngineDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  for (const [name, needed] of Object.entries(NEEDED_LIMITS)) {
    const offered = adapter.limits[name as keyof typeof NEEDED_LIMITS];
    if (offered < needed) {
      throw new StudioError({
        code: 'GPU_LIMIT',
        message: `The GPU offers ${name} = ${offered}; training needs ${needed}.`,
        fix: 'Use another GPU or update its driver.',
      });
    }
  }
  const requiredLimits: Record<string, number> = {};
  for (const name of WANTED_LIMITS) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures = WANTED_FEATURES.filter((feature) => adapter.features.has(feature));
  return adapter.requestDevice({ requiredLimits, requiredFeatures, label: 'lorikeet' });
}

/**
 * Constants of the kernels whose invocations hand values around in the subgroup, or null where the device has none:
 * `LANES` invocations take part (the smallest subgroup has as many), `WIDTH` make a workgroup.
 */
export function subgroupConstants(device: GPUDevice): { LANES: number; WIDTH: number } | null {
  if (!device.features.has('subgroups')) return null;
  const { subgroupMinSize, subgroupMaxSize } = device.adapterInfo;
  return {
    LANES: subgroupMinSize >= 16 ? 16 : subgroupMinSize >= 8 ? 8 : 4,
    WIDTH: Math.min(64, Math.max(8, subgroupMaxSize)),
  };
}

/**
 * Whether subgroups are the vector lanes of a CPU: such a device loads lane by lane, so that handing values around in the
 * subgroup wins by far over loading them again.
 */
export function loadsByLane(device: GPUDevice): boolean {
  return subgroupConstants(device)?.WIDTH === 8;
}

/** Describes an adapter for people; an open device says the same of itself. */
export function describeAdapter(adapter: Pick<GPUAdapter, 'info' | 'limits' | 'features'>): DeviceInfo {
  const { vendor, architecture, device, description } = adapter.info;
  const parts = [vendor, architecture, device, description].filter((part) => part !== '');
  const name = [...new Set(parts)].join(' ') || 'unnamed GPU';
  const software = adapter.info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(name);
  return {
    name,
    software,
    maxBufferSize: adapter.limits.maxBufferSize,
    maxBindingSize: adapter.limits.maxStorageBufferBindingSize,
    features: [...adapter.features].sort(),
  };
}
