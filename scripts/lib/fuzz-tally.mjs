// Loaded into a program under test before it starts: counts what it holds, in JavaScript and in buffers of the GPU, and writes
// that to LORIKEET_FUZZ_TALLY. The process's own size says little there, as a software adapter keeps what was given back.
import { writeFileSync } from 'node:fs';
import { globals } from 'webgpu';

const { GPUDevice, GPUBuffer } =
  /** @type {{ GPUDevice: typeof globalThis.GPUDevice, GPUBuffer: typeof globalThis.GPUBuffer }} */ (
    /** @type {unknown} */ (globals)
  );
const file = process.env['LORIKEET_FUZZ_TALLY'] ?? '';
let buffers = 0;
/** @type {WeakMap<GPUBuffer, number>} sizes of buffers that were not destroyed */
const sizes = new WeakMap();

// oxlint-disable-next-line typescript/unbound-method -- called on its own object below
const { createBuffer } = GPUDevice.prototype;
/** @param {GPUBufferDescriptor} descriptor @this {GPUDevice} */
GPUDevice.prototype.createBuffer = function counted(descriptor) {
  const buffer = createBuffer.call(this, descriptor);
  sizes.set(buffer, descriptor.size);
  buffers += descriptor.size;
  return buffer;
};
// oxlint-disable-next-line typescript/unbound-method -- called on its own object below
const { destroy } = GPUBuffer.prototype;
/** @this {GPUBuffer} */
GPUBuffer.prototype.destroy = function counted() {
  buffers -= sizes.get(this) ?? 0;
  sizes.delete(this);
  return destroy.call(this);
};

setInterval(() => {
  const { heapUsed, external } = process.memoryUsage();
  writeFileSync(file, JSON.stringify({ script: heapUsed + external, buffers }));
}, 200).unref();
