/** What makes a folder a store: its meta file, and nothing strange beside it. */
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StudioError } from '../errors.ts';
import { ulid } from '../formats/ulid.ts';
import { RECORDS_LOCK, withLock, type StoreLocks } from './backend.ts';
import { readIfThere, type FileOps } from './folder-files.ts';
import { metaSchema, STORE_SCHEMA, type StoreMeta } from './records.ts';

export const META_FILE = 'lorikeet-store.json';
const FOLDERS = ['runs', 'checkpoints', 'tombstones', 'journal', 'chunks', 'tmp'];

/** A folder that holds other things would be mixed with the store's, and swept with them. */
export async function checkIsOurs(dir: string): Promise<void> {
  const names = await readdir(dir);
  const strange = names.find(
    (name) => !name.startsWith('.') && ![...FOLDERS, 'locks', META_FILE].includes(name),
  );
  if (strange === undefined || names.includes(META_FILE)) return;
  throw new StudioError({
    code: 'STORE_FAILED',
    message: `${dir} is no checkpoint store and not empty (it holds ${strange}).`,
    fix: 'Choose an empty or a new folder for the checkpoints.',
  });
}

function parseMeta(dir: string, text: string): StoreMeta {
  let raw: unknown = null;
  try {
    raw = JSON.parse(text);
  } catch {
    // Falls through to the refusal below.
  }
  const parsed = metaSchema.safeParse(raw);
  if (!parsed.success) {
    throw new StudioError({
      code: 'STORE_DAMAGED',
      message: `${join(dir, META_FILE)} is damaged.`,
      fix: 'Remove that one file; it is made again, and the checkpoints stay.',
    });
  }
  if (parsed.data.schema > STORE_SCHEMA) {
    throw new StudioError({
      code: 'STORE_NEWER',
      message: `The store ${dir} was made by a newer version of Lorikeet (schema ${String(parsed.data.schema)}).`,
      fix: 'Use that version, or choose another folder.',
    });
  }
  return parsed.data;
}

/** Reads what the store is, or makes it one. */
export async function openMeta(dir: string, locks: StoreLocks, files: FileOps): Promise<StoreMeta> {
  return withLock(locks, RECORDS_LOCK, 'exclusive', async () => {
    for (const folder of FOLDERS) await files.makeFolder(join(dir, folder));
    const path = join(dir, META_FILE);
    const found = await readIfThere(path);
    if (found !== null) return parseMeta(dir, found.toString('utf8'));
    const meta = {
      dbId: ulid(Date.now(), crypto.getRandomValues(new Uint8Array(10))),
      schema: STORE_SCHEMA,
      createdAt: new Date().toISOString(),
    };
    const temporary = join(dir, 'tmp', randomUUID());
    await files.writeNew(temporary, new TextEncoder().encode(`${JSON.stringify(meta)}\n`));
    await files.rename(temporary, path);
    await files.syncFolder(dir);
    return meta;
  });
}
