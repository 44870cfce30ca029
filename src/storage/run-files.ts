/** The data files of runs, kept by the browser beside the checkpoints, so that a run can go on after the page was closed. */
import { openDB, type DBSchema, type IDBPDatabase } from 'idb';

interface RunFilesSchema extends DBSchema {
  files: { key: string; value: File };
}

/** Larger files are not copied: the person picks them again. */
export const MAX_KEPT_FILE = 64 * 2 ** 20;

const open = (): Promise<IDBPDatabase<RunFilesSchema>> =>
  openDB<RunFilesSchema>('lorikeet-run-files', 1, {
    upgrade: (db) => {
      db.createObjectStore('files');
    },
    blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
  });

async function withFiles<T>(work: (db: IDBPDatabase<RunFilesSchema>) => Promise<T>): Promise<T> {
  const db = await open();
  try {
    return await work(db);
  } finally {
    db.close();
  }
}

/** Keeps a copy of a run's data file; false where it is too large or there is no room, which harms nothing else. */
export async function keepRunFile(runId: string, file: File): Promise<boolean> {
  if (file.size > MAX_KEPT_FILE) return false;
  try {
    await withFiles((db) => db.put('files', file, runId));
    return true;
  } catch {
    return false;
  }
}

/** The kept copy; null where there is none that can be read. */
export async function keptRunFile(runId: string): Promise<File | null> {
  try {
    return (await withFiles((db) => db.get('files', runId))) ?? null;
  } catch {
    return null;
  }
}

/** Drops the copies of runs that are gone. */
export async function dropRunFiles(runsThere: ReadonlySet<string>): Promise<void> {
  await withFiles(async (db) => {
    for (const runId of await db.getAllKeys('files')) {
      if (!runsThere.has(runId)) await db.delete('files', runId);
    }
  });
}
