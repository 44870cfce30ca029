// A program of its own: prints the adapter that Dawn finds in this environment as JSON, or null.
// A broken driver can end a process, so drivers are tried outside ours.
import { create } from 'webgpu';

const gpu = create([]);
const adapter = await gpu.requestAdapter({});
const name = adapter && `${adapter.info.vendor} ${adapter.info.architecture}: ${adapter.info.description}`;
const software = adapter?.info.isFallbackAdapter ?? false;
process.stdout.write(JSON.stringify(adapter && { name, software }), () => {
  // `gpu` is named here so that it lives until now: Dawn dies with it.
  process.exit(gpu ? 0 : 1);
});
