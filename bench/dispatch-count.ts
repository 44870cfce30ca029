/** Counts what the engine dispatches, from outside. */

/** Dispatches that some work encodes on a device. */
export async function countDispatches(device: GPUDevice, work: () => Promise<void>): Promise<number> {
  let count = 0;
  const create = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = (descriptor) => {
    const encoder = create(descriptor);
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (pass) => {
      const made = begin(pass);
      const dispatch = made.dispatchWorkgroups.bind(made);
      made.dispatchWorkgroups = (x, y, z) => {
        count += 1;
        return dispatch(x, y, z);
      };
      return made;
    };
    return encoder;
  };
  try {
    await work();
  } finally {
    device.createCommandEncoder = create;
  }
  return count;
}
