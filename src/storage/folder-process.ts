/** Telling a process that still runs from one whose number was given to another. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

function textOf(read: () => string): string {
  try {
    return read().trim();
  } catch {
    return '';
  }
}

/** A process that is there, but does not tell when it started. */
const UNKNOWN = 'unknown';

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // No permission to signal it: then it is there.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** When a process started, in a form that no other process of the same number shares; empty when it is gone. */
export function startOf(pid: number): string {
  if (!isThere(pid)) return '';
  if (process.platform === 'linux') {
    const stat = textOf(() => readFileSync(`/proc/${String(pid)}/stat`, 'utf8'));
    // The second field is the name in brackets, which may hold anything; the state follows it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    if (state === 'Z' || state === 'X') return '';
    const boot = textOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'));
    return stat === '' ? UNKNOWN : short(`${boot} ${fields[19] ?? ''}`);
  }
  if (process.platform === 'darwin') {
    const { stdout } = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
    return stdout.trim() === '' ? UNKNOWN : short(stdout.trim());
  }
  return UNKNOWN;
}

/** Whether the process of this number is the one that started then. */
export function isRunning(pid: number, start: string): boolean {
  const found = startOf(pid);
  return found !== '' && (found === start || found === UNKNOWN || start === UNKNOWN);
}

/** Which machine, or which container on it, process numbers belong to. */
export function hereTag(): string {
  return short(`${hostname()} ${textOf(() => readlinkSync('/proc/self/ns/pid'))}`);
}
