/** Vulkan drivers for Dawn in Node: the system's, or the software driver that Chromium ships. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Puts a driver in force for the GPU objects that are made from now on. */
export interface Driver {
  name: 'system' | 'chromium';
  use(): void;
}

const CHROMIUM_FOLDERS = [
  '/usr/lib/chromium',
  '/usr/lib/chromium-browser',
  '/opt/google/chrome',
  '/opt/chromium',
];

/** The drivers in the order in which they are tried. Elsewhere than on Linux Dawn uses Metal or Direct3D. */
export function drivers(): Driver[] {
  // Drivers want this folder; without a desktop session it is not set.
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
  const own = { icd: process.env['VK_ICD_FILENAMES'], files: process.env['VK_DRIVER_FILES'] };
  const system: Driver = { name: 'system', use: () => setDrivers(own.icd, own.files) };
  if (process.platform !== 'linux') return [system];
  const named = process.env['LORIKEET_CHROMIUM'];
  const folders = [...(named === undefined ? [] : [dirname(named)]), ...CHROMIUM_FOLDERS];
  const manifest = folders.map((folder) => join(folder, 'vk_swiftshader_icd.json')).find(existsSync);
  if (manifest === undefined) return [system];
  return [system, { name: 'chromium', use: () => setDrivers(manifest, undefined) }];
}

/** The Vulkan loader reads these when Dawn makes its instance. */
function setDrivers(icd: string | undefined, files: string | undefined): void {
  for (const [name, value] of [
    ['VK_ICD_FILENAMES', icd],
    ['VK_DRIVER_FILES', files],
  ] as const) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** Whether an adapter computes correctly: lavapipe of Mesa before 25, and with LLVM 22, does not. */
export function computesCorrectly(description: string): boolean {
  if (!/llvmpipe/i.test(description)) return true;
  const mesa = Number(/Mesa (\d+)/.exec(description)?.[1] ?? 25);
  const llvm = Number(/LLVM (\d+)/.exec(description)?.[1] ?? 0);
  return mesa >= 25 && llvm < 22;
}
