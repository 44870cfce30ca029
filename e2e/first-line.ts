// Programs that say where they are in their first line and then go on until they are stopped.
import { spawn } from 'node:child_process';

export interface Started {
  /** What it has printed when its first line is whole; rejects with its errors where it ends before. */
  line: Promise<string>;
  /** Interrupts it, and resolves when it has ended. */
  stop: () => Promise<unknown>;
}

/** Starts a program of Node in a folder. */
export function firstLine(cwd: string, args: readonly string[]): Started {
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const told = { out: '', err: '' };
  child.stderr.setEncoding('utf8').on('data', (text: string) => (told.err += text));
  const ended = new Promise((resolve) => child.on('close', resolve));
  const line = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      told.out += text;
      if (told.out.includes('\n')) resolve(told.out);
    });
    void ended.then(() => reject(new Error(told.err)));
  });
  return { line, stop: () => (child.kill('SIGINT'), ended) };
}
