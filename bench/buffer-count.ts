/** Counts GPU bytes from outside the engine, as the peers' scripts do: by wrapping `createBuffer` and `destroy`. */

export interface BufferCount {
  /** Live bytes now, and the most since `restart`. */
  readonly bytes: number;
  readonly peak: number;
  /** Buffers made so far. */
  readonly created: number;
  /** Lets the peak begin anew at what lives now. */
  restart(): void;
}

/** Wraps a device in place. */
export function countBuffers(device: GPUDevice): BufferCount {
  const count = {
    bytes: 0,
    peak: 0,
    created: 0,
    restart(): void {
      count.peak = count.bytes;
    },
  };
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    let live = true;
    count.bytes += descriptor.size;
    count.created += 1;
    count.peak = Math.max(count.peak, count.bytes);
    buffer.destroy = () => {
      if (live) count.bytes -= descriptor.size;
      live = false;
      return destroy();
    };
    return buffer;
  };
  return count;
}
