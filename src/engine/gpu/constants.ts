/** The few WebGPU numbers that the engine needs: in Node the constants are not globals (spec: GPUBufferUsage, GPUMapMode). */

export const BufferUsage = {
  MAP_READ: 0x0001,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
} as const;

export const MAP_READ_MODE = 0x0001;

/** Storage buffers of the engine can be filled, read back and cleared. */
export const STORAGE_USAGE = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
