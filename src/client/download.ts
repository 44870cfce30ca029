/** Saves the adapter of the last run as a file. */
import { callWorker } from './studio-client.ts';

/** Long enough for a browser to take the data over, short enough not to hold it for the life of the page. */
const KEEP_MS = 60_000;

export async function downloadAdapter(dtype: 'F32' | 'BF16'): Promise<{ name: string; bytes: number }> {
  const { name, blob } = await callWorker((api) => api.exportAdapter({ dtype }));
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEEP_MS);
  return { name, bytes: blob.size };
}
