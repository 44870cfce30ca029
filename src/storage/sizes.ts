/** Sizes in messages. */

const UNITS = ['kB', 'MB', 'GB', 'TB'];

/** `0 bytes`, `999 bytes`, `12.3 kB`, `1.2 GB`: decimal, as disks and browsers count. */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${String(bytes)} bytes`;
  let value = bytes;
  let unit = 'bytes';
  for (const next of UNITS) {
    if (value < 999.95) break;
    value /= 1000;
    unit = next;
  }
  return `${value.toFixed(1)} ${unit}`;
}
