/**
 * Opens the zip container of a PyTorch file by its central directory, and holds it to it: every local header must say
 * the same, contents lie one behind another without anything between or before them, nothing is compressed.
 */
import type { ByteSource } from './bytes.ts';
import { CHUNK_BYTES } from './file-entry.ts';
import { crc32 } from './crc32.ts';
import { torchError } from './pickle-stack.ts';
import type { Chunk } from './streams.ts';

/** 100,000 tensors and the few files beside them. */
const MAX_ENTRIES = 100_016;
const MAX_DIRECTORY_BYTES = 32 * 2 ** 20;
const MAX_NAME_BYTES = 256;
const LIMIT_32 = 0xffffffff;
const LIMIT_16 = 0xffff;
const FLAG_ENCRYPTED = 1;
/** Sizes follow the content: PyTorch's own writer sets this, and both headers still say everything. */
const FLAG_DESCRIPTOR = 8;
const FLAG_UTF8 = 0x800;

export interface ZipMember {
  readonly name: string;
  readonly size: number;
  readonly crc: number;
  /** Where its content begins. */
  readonly start: number;
}

export interface TorchZip {
  /** By name without the folder around everything. */
  readonly members: ReadonlyMap<string, ZipMember>;
  /** The bytes of a member from `from`; the first read of a member checks its checksum. */
  read(member: ZipMember, from?: number, to?: number): Promise<Chunk>;
}

interface Directory {
  start: number;
  size: number;
  count: number;
  /** Where the records after the directory begin. */
  end: number;
}

interface Central {
  name: string;
  flags: number;
  crc: number;
  size: number;
  headerStart: number;
}

const FOREIGN = 'Save it again with torch.save in PyTorch 2.1 or newer, or use safetensors.';

class ZipReader {
  readonly source: ByteSource;

  constructor(source: ByteSource) {
    this.source = source;
  }

  fail(problem: string, fix?: string): never {
    throw torchError(this.source.name, problem, fix);
  }

  async bytes(start: number, end: number): Promise<Chunk> {
    if (start < 0 || end > this.source.size || start > end) this.fail('a place in it lies outside the file');
    const bytes = await this.source.read(start, end);
    if (bytes.byteLength !== end - start) this.fail('the file became shorter while it was being read');
    return bytes;
  }

  async view(start: number, end: number): Promise<DataView> {
    const bytes = await this.bytes(start, end);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A 64-bit number that is exact as a number of JavaScript. */
  uint64(view: DataView, at: number): number {
    const value = view.getBigUint64(at, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail('a size in it is out of range');
    return Number(value);
  }

  async checkKind(): Promise<void> {
    const first = await this.bytes(0, Math.min(4, this.source.size));
    if (first[0] === 0x50 && first[1] === 0x4b) return;
    const legacy = first[0] === 0x80 || (first[0] === 0x75 && first[1] === 0x73);
    this.fail(legacy ? 'it is in the old format of PyTorch' : 'it is not a file of torch.save', FOREIGN);
  }

  async directory(): Promise<Directory> {
    const { size: fileSize } = this.source;
    if (fileSize < 22) this.fail('it is too short for a zip');
    const end = await this.view(fileSize - 22, fileSize);
    if (end.getUint32(0, true) !== 0x06054b50 || end.getUint16(20, true) !== 0) {
      this.fail('its directory is missing, or something follows it');
    }
    const count = end.getUint16(10, true);
    const size = end.getUint32(12, true);
    const start = end.getUint32(16, true);
    if (end.getUint16(4, true) !== 0 || end.getUint16(6, true) !== 0 || end.getUint16(8, true) !== count) {
      this.fail('it is one part of several');
    }
    const plain = { start, size, count, end: fileSize - 22 };
    const large = count === LIMIT_16 || size === LIMIT_32 || start === LIMIT_32;
    const found = (await this.directory64(fileSize - 22, plain, large)) ?? plain;
    if (large && found === plain) this.fail('its 64-bit directory is missing');
    if (found.count === 0 || found.count > MAX_ENTRIES) {
      this.fail(`it holds ${String(found.count)} entries; at most ${String(MAX_ENTRIES)} are read`);
    }
    if (found.size > MAX_DIRECTORY_BYTES || found.start + found.size !== found.end) {
      this.fail('its directory does not lie where it says');
    }
    return found;
  }

  /** PyTorch writes the 64-bit records always; they must agree with the plain ones where those hold the number. */
  private async directory64(at: number, plain: Directory, large: boolean): Promise<Directory | null> {
    if (at < 76) return null;
    const locator = await this.view(at - 20, at);
    if (locator.getUint32(0, true) !== 0x07064b50) return null;
    const recordAt = this.uint64(locator, 8);
    if (recordAt !== at - 76 || locator.getUint32(4, true) !== 0 || locator.getUint32(16, true) !== 1) {
      this.fail('its 64-bit directory does not lie where it says');
    }
    const record = await this.view(recordAt, recordAt + 56);
    const count = this.uint64(record, 32);
    if (
      record.getUint32(0, true) !== 0x06064b50 ||
      this.uint64(record, 4) !== 44 ||
      record.getUint32(16, true) !== 0 ||
      record.getUint32(20, true) !== 0 ||
      this.uint64(record, 24) !== count
    ) {
      this.fail('its 64-bit directory is damaged');
    }
    const found = { start: this.uint64(record, 48), size: this.uint64(record, 40), count, end: recordAt };
    const agree = (short: number, limit: number, long: number): boolean => short === limit || short === long;
    if (
      !agree(plain.count, LIMIT_16, found.count) ||
      !agree(plain.size, LIMIT_32, found.size) ||
      !agree(plain.start, LIMIT_32, found.start)
    ) {
      this.fail(`its two directories contradict each other${large ? '' : ' without need'}`);
    }
    return found;
  }

  name(bytes: Uint8Array): string {
    let name: string;
    try {
      name = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.fail('an entry has a name that is not UTF-8');
    }
    // eslint-disable-next-line no-control-regex
    if (/[\u0000-\u001f\u007f\\]/.test(name)) this.fail('an entry has a name with odd characters');
    return name;
  }

  /** The 64-bit sizes and place of a central record, for the fields that point to them. */
  wide(extra: DataView, wanted: readonly number[]): number[] {
    const open = wanted.filter((value) => value === LIMIT_32).length;
    if (open === 0) return [...wanted];
    for (let at = 0; at + 4 <= extra.byteLength; at += 4 + extra.getUint16(at + 2, true)) {
      if (extra.getUint16(at, true) !== 1) continue;
      const length = extra.getUint16(at + 2, true);
      if (length !== 8 * open || at + 4 + length > extra.byteLength) break;
      let next = at + 4;
      return wanted.map((value) => {
        if (value !== LIMIT_32) return value;
        next += 8;
        return this.uint64(extra, next - 8);
      });
    }
    return this.fail('a 64-bit size is missing');
  }

  async centrals(directory: Directory): Promise<Central[]> {
    const view = await this.view(directory.start, directory.start + directory.size);
    const found: Central[] = [];
    let at = 0;
    while (at < view.byteLength) {
      if (at + 46 > view.byteLength || view.getUint32(at, true) !== 0x02014b50)
        this.fail('its directory is damaged');
      const nameLength = view.getUint16(at + 28, true);
      const extraLength = view.getUint16(at + 30, true);
      const next = at + 46 + nameLength + extraLength;
      if (
        next > view.byteLength ||
        view.getUint16(at + 32, true) !== 0 ||
        view.getUint16(at + 34, true) !== 0
      ) {
        this.fail('its directory is damaged');
      }
      if (nameLength === 0 || nameLength > MAX_NAME_BYTES) this.fail('an entry has a name of an odd length');
      const flags = view.getUint16(at + 8, true);
      const name = this.name(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength));
      if ((flags & FLAG_ENCRYPTED) !== 0) this.fail(`${name} is encrypted`);
      if ((flags & ~(FLAG_DESCRIPTOR | FLAG_UTF8)) !== 0) this.fail(`${name} sets unknown flags`);
      if (view.getUint16(at + 10, true) !== 0)
        this.fail(`${name} is compressed, which torch.save never does`);
      const extra = new DataView(view.buffer, view.byteOffset + at + 46 + nameLength, extraLength);
      const [size = 0, packed = 0, headerStart = 0] = this.wide(extra, [
        view.getUint32(at + 24, true),
        view.getUint32(at + 20, true),
        view.getUint32(at + 42, true),
      ]);
      if (size !== packed) this.fail(`${name} has two different sizes`);
      found.push({ name, flags, crc: view.getUint32(at + 16, true), size, headerStart });
      at = next;
    }
    if (found.length !== directory.count) this.fail('its directory does not hold as many entries as it says');
    return found;
  }

  /** Checks a local header against its central record; gives where the content begins. */
  async contentStart(central: Central): Promise<number> {
    const { name, headerStart } = central;
    const head = await this.view(headerStart, headerStart + 30);
    const nameLength = head.getUint16(26, true);
    const contentStart = headerStart + 30 + nameLength + head.getUint16(28, true);
    const rest = await this.bytes(headerStart + 30, contentStart);
    const flags = head.getUint16(6, true);
    const extra = rest.subarray(nameLength);
    const [size = 0, packed = 0] = this.wide(new DataView(extra.buffer, extra.byteOffset, extra.byteLength), [
      head.getUint32(22, true),
      head.getUint32(18, true),
    ]);
    // With the descriptor flag the numbers may stand behind the content instead.
    const late = (flags & FLAG_DESCRIPTOR) !== 0;
    const fits = (value: number, wanted: number): boolean => value === wanted || (late && value === 0);
    if (
      head.getUint32(0, true) !== 0x04034b50 ||
      flags !== central.flags ||
      head.getUint16(8, true) !== 0 ||
      this.name(rest.subarray(0, nameLength)) !== name ||
      !fits(head.getUint32(14, true), central.crc) ||
      !fits(size, central.size) ||
      !fits(packed, central.size)
    ) {
      this.fail(`the header of ${name} and the directory contradict each other`);
    }
    return contentStart;
  }

  /** The bytes of the descriptor behind a content, whose form is not written down anywhere. */
  async descriptorBytes(central: Central, contentEnd: number, next: number): Promise<number> {
    if ((central.flags & FLAG_DESCRIPTOR) === 0) return 0;
    const length = next - contentEnd;
    if (length !== 16 && length !== 24) return this.fail(`something lies behind ${central.name}`);
    const view = await this.view(contentEnd, next);
    const wide = length === 24;
    const size = (at: number): number => (wide ? this.uint64(view, at) : view.getUint32(at, true));
    if (
      view.getUint32(0, true) !== 0x08074b50 ||
      view.getUint32(4, true) !== central.crc ||
      size(8) !== central.size ||
      size(wide ? 16 : 12) !== central.size
    ) {
      this.fail(`what follows ${central.name} contradicts the directory`);
    }
    return length;
  }
}

/** Opens the container: checks everything but the contents. Throws TORCH_FILE_INVALID. */
export async function openTorchZip(source: ByteSource): Promise<TorchZip> {
  const zip = new ZipReader(source);
  await zip.checkKind();
  const directory = await zip.directory();
  const centrals = await zip.centrals(directory);
  centrals.sort((a, b) => a.headerStart - b.headerStart);
  const folder = centrals[0]?.name.split('/')[0] ?? '';
  const members = new Map<string, ZipMember>();
  let end = 0;
  for (const [index, central] of centrals.entries()) {
    const { name } = central;
    if (central.headerStart !== end) zip.fail(`something lies in front of ${name}, or over it`);
    const inside = name.startsWith(`${folder}/`) ? name.slice(folder.length + 1) : '';
    if (inside === '' || inside.split('/').some((part) => part === '' || part === '.' || part === '..')) {
      zip.fail(`${name} lies outside the folder of the file`);
    }
    if (members.has(inside)) zip.fail(`${name} occurs twice`);
    const start = await zip.contentStart(central);
    const contentEnd = start + central.size;
    const next = centrals[index + 1]?.headerStart ?? directory.start;
    if (contentEnd > next) zip.fail(`${name} reaches into what follows it`);
    end = contentEnd + (await zip.descriptorBytes(central, contentEnd, next));
    members.set(inside, { name: inside, size: central.size, crc: central.crc, start });
  }
  if (end !== directory.start) zip.fail('something lies in front of its directory');

  const checked = new Set<ZipMember>();
  const check = async (member: ZipMember): Promise<void> => {
    let crc = 0;
    const last = member.start + member.size;
    for (let at = member.start; at < last; at += CHUNK_BYTES) {
      crc = crc32(await zip.bytes(at, Math.min(at + CHUNK_BYTES, last)), crc);
    }
    // PyTorch can be told to leave checksums out; then the field is 0.
    if (member.crc !== 0 && crc !== member.crc)
      zip.fail(`the content of ${member.name} does not match its checksum`);
    checked.add(member);
  };
  return {
    members,
    read: async (member, from = 0, to = member.size) => {
      if (!checked.has(member)) await check(member);
      return zip.bytes(member.start + from, member.start + to);
    },
  };
}
