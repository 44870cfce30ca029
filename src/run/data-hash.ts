/** The identity of a data set: of the very token rows that training takes, not of the file that they came from. */
import type { TokenizedExample } from '../data/types.ts';
import { Sha256 } from '../formats/sha256.ts';

/**
 * SHA-256 over the rows for training and for evaluation, in their order: counts, then per row its length, token ids and
 * labels as little-endian int32. Another file, template, option or tokenizer that changes one token changes it.
 */
export function hashRows(data: {
  train: readonly TokenizedExample[];
  evaluation: readonly TokenizedExample[];
}): string {
  const hash = new Sha256();
  for (const rows of [data.train, data.evaluation]) {
    hash.update(littleEndian([rows.length]));
    for (const { inputIds, labels } of rows) {
      hash.update(littleEndian([inputIds.length, ...inputIds, ...labels]));
    }
  }
  return hash.hex();
}

function littleEndian(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => view.setInt32(4 * index, value, true));
  return bytes;
}
