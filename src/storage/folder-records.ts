/** Records as files: one JSON line and its hash, written under a temporary name, read again only when they changed. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { z } from 'zod';
import { sha256Hex } from '../formats/sha256.ts';
import { codeOfFailure, readIfThere } from './folder-files.ts';
import { RECORD_VERSION, type StoreContents } from './records.ts';

export function recordText(record: object): string {
  const line = JSON.stringify(record);
  return `${line}\n${sha256Hex(line)}\n`;
}

type Parsed<T> = { record: T } | { problem: string };

/** Handed out many times, so nobody may change it. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) frozen(member);
  }
  return value;
}

function parseRecord<T>(text: string, schema: z.ZodType<T>): Parsed<T> {
  const [line = '', hash] = text.split('\n');
  if (hash === undefined || sha256Hex(line) !== hash) return { problem: 'it does not match its own hash' };
  const raw: unknown = JSON.parse(line);
  const version = typeof raw === 'object' && raw !== null && 'version' in raw ? raw.version : null;
  if (typeof version === 'number' && version > RECORD_VERSION) {
    return { problem: `it was written by a newer version of Lorikeet (record version ${String(version)})` };
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return { record: frozen(parsed.data) };
  return { problem: parsed.error.issues[0]?.message ?? 'it is not a record' };
}

/** The records of one folder, by id; files that did not change since the last look are not read again. */
export class RecordFolder<T extends { id: string }> {
  readonly #dir: string;
  readonly #schema: z.ZodType<T>;
  readonly #known = new Map<string, { stamp: string; parsed: Parsed<T> }>();

  constructor(dir: string, schema: z.ZodType<T>) {
    this.#dir = dir;
    this.#schema = schema;
  }

  path(id: string): string {
    return join(this.#dir, `${id}.json`);
  }

  /** To be called after a change: stamps of files are not fine enough to tell two quick ones apart. */
  forget(id: string): void {
    this.#known.delete(this.path(id));
  }

  async #read(path: string): Promise<Parsed<T> | null> {
    const info = await stat(path, { bigint: true }).catch((error: unknown) => {
      if (codeOfFailure(error) === 'ENOENT') return null;
      throw error;
    });
    if (info === null) return null;
    const stamp = [info.ino, info.size, info.mtimeNs, info.ctimeNs].join(' ');
    const known = this.#known.get(path);
    if (known?.stamp === stamp) return known.parsed;
    const bytes = await readIfThere(path);
    if (bytes === null) return null;
    const parsed = parseRecord(bytes.toString('utf8'), this.#schema);
    this.#known.set(path, { stamp, parsed });
    return parsed;
  }

  /** All that can be read; the others are named in `unreadable`. */
  async all(unreadable: StoreContents['unreadable']): Promise<T[]> {
    const names = (await readdir(this.#dir)).filter((name) => name.endsWith('.json'));
    const paths = names.map((name) => join(this.#dir, name));
    const here = new Set(paths);
    for (const path of this.#known.keys()) if (!here.has(path)) this.#known.delete(path);
    const all = await Promise.all(paths.map((path) => this.#read(path)));
    return all.flatMap((parsed, i) => {
      if (parsed === null) return [];
      if ('record' in parsed) return [parsed.record];
      unreadable.push({ what: join(basename(this.#dir), names[i] ?? ''), problem: parsed.problem });
      return [];
    });
  }
}
