/** GPT-2's printable alphabet for bytes, in which byte-level BPE files write their tokens. */

const BYTE_OF_CHAR = new Map<string, number>();

// Printable Latin-1 characters stand for themselves; the other bytes, in order, for U+0100 and up.
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  BYTE_OF_CHAR.set(String.fromCharCode(printable ? byte : next++), byte);
}

/** The bytes that a byte-level token stands for; undefined when it has a character outside the alphabet. */
export function bytesOfToken(token: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_CHAR.get(token.charAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
