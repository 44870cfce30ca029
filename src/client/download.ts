/** Files for the person to keep, the adapter of the last run among them. */
import { callWorker } from './studio-client.ts';

/** Long enough for a browser to take the data over, short enough not to hold it for the life of the page. */
const KEEP_MS = 60_000;

/** Hands a file to the browser's downloads. */
export function offerFile({ name, blob }: { name: string; blob: Blob }): { name: string; bytes: number } {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEEP_MS);
  return { name, bytes: blob.size };
}

export async function downloadAdapter(dtype: 'F32' | 'BF16'): Promise<{ name: string; bytes: number }> {
  return offerFile(await callWorker((api) => api.exportAdapter({ dtype })));
}
