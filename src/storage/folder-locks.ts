/**
 * Locks in a folder that several processes share. Everyone who wants a lock puts a file of their own there and takes a
 * number; the lowest number that still runs has the lock. Nobody ever removes a file whose owner lives, so there is no
 * moment in which a stale lock is broken twice, and a killed owner's file counts for nothing.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { LockAnswer, LockRequest, StoreLocks } from './backend.ts';
import { hereTag, isRunning, startOf } from './folder-process.ts';
import { throwIfCancelled } from './stage.ts';

interface Ticket {
  file: string;
  /** Of the lock. */
  name: string;
  mode: LockRequest['mode'];
  /** Null while the number is being chosen. */
  number: number | null;
  owner: string;
}

const HERE = hereTag();
const MY_START = startOf(process.pid);
/** For messages. */
const HOST =
  hostname()
    .replaceAll(/[^A-Za-z0-9.-]/g, '')
    .slice(0, 40) || 'unknown';
/** Choosing a number takes no time; who is stopped in the middle of it holds the others up no longer than this. */
const CHOOSING_MS = 2000;

function parse(file: string): Ticket | null {
  const [name = '', mode, number, pid, start, here, host, random] = file.split('~');
  if (random === undefined || (mode !== 'exclusive' && mode !== 'shared')) return null;
  return {
    file,
    name,
    mode,
    number: number === 'choosing' ? null : Number(number),
    owner: [pid, start, here, host, random].join('~'),
  };
}

/** Of another machine or container nothing can be known, so its locks stand until they are removed by hand. */
function isAlive(ticket: Ticket): boolean {
  const [pid, start = '', here] = ticket.owner.split('~');
  if (here !== HERE) return true;
  return pid === String(process.pid) ? start === MY_START : isRunning(Number(pid), start);
}

/** The tickets whose owners live, of one lock or of all; files of the others are removed. */
function ticketsFor(dir: string, name: string | null): Ticket[] {
  const found = new Map<string, Ticket>();
  // A file that appears while a folder is read may be missed. Read twice: who is missed then chose after us.
  for (const file of [...readdirSync(dir), ...readdirSync(dir)]) {
    const ticket = parse(file);
    if (ticket !== null && (name === null || ticket.name === name)) found.set(file, ticket);
  }
  return [...found.values()].filter((ticket) => {
    if (isAlive(ticket)) return true;
    rmSync(join(dir, ticket.file), { force: true });
    return false;
  });
}

function describe(dir: string, ticket: Ticket): string {
  const [pid = '', , here, host = ''] = ticket.owner.split('~');
  if (here === HERE) return pid === String(process.pid) ? 'this program' : `another program (process ${pid})`;
  const file = join(dir, ticket.file);
  return `process ${pid} on ${host} (if it no longer runs, remove ${file})`;
}

/** The number of a new ticket: above all that are there. */
function nextNumber(dir: string, name: string): number {
  return 1 + Math.max(0, ...ticketsFor(dir, name).map(({ number }) => number ?? 0));
}

/** Who must be waited for before this ticket has the lock. */
function before(dir: string, name: string, mine: Ticket): Ticket[] {
  return ticketsFor(dir, name).filter((other) => {
    if (other.owner === mine.owner) return false;
    if (other.mode === 'shared' && mine.mode === 'shared') return false;
    if (other.number === null || mine.number === null) return true;
    return other.number < mine.number || (other.number === mine.number && other.owner < mine.owner);
  });
}

/** Locks as files in `dir`, which is made when it is missing. */
export function folderLocks(dir: string): StoreLocks {
  mkdirSync(dir, { recursive: true });
  ticketsFor(dir, null);
  const me = [String(process.pid), MY_START, HERE, HOST].join('~');

  function takeNumber(name: string, mode: LockRequest['mode']): Ticket {
    const owner = `${me}~${randomBytes(6).toString('hex')}`;
    const put = (number: string): string => {
      const file = `${name}~${mode}~${number}~${owner}`;
      // Empty: a file without content can be made on a full disk, where locks are needed to make room.
      closeSync(openSync(join(dir, file), 'wx'));
      return file;
    };
    const choosing = put('choosing');
    try {
      const number = nextNumber(dir, name);
      return { file: put(String(number)), name, mode, number, owner };
    } finally {
      rmSync(join(dir, choosing), { force: true });
    }
  }

  async function acquire(name: string, { mode, wait, signal }: LockRequest): Promise<LockAnswer> {
    throwIfCancelled(signal, 'Waiting for the store');
    const mine = takeNumber(name, mode);
    const path = join(dir, mine.file);
    const release = (): void => rmSync(path, { force: true });
    const start = performance.now();
    try {
      for (let pause = 1; ; pause = Math.min(50, pause * 2)) {
        const ahead = before(dir, name, mine);
        const [first] = ahead;
        if (first === undefined) break;
        const settled = ahead.find(({ number }) => number !== null);
        const undecided = settled === undefined && performance.now() - start < CHOOSING_MS;
        if (!wait && !undecided) {
          release();
          return { lock: null, holder: describe(dir, settled ?? first) };
        }
        throwIfCancelled(signal, 'Waiting for the store');
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    } catch (error) {
      release();
      throw error;
    }
    return {
      lock: {
        held: () => existsSync(path),
        release: () => {
          release();
          return Promise.resolve();
        },
      },
    };
  }

  return { acquire };
}
