/** The command `lorikeet serve` as a program beside the tests. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const ROOT = new URL('../../', import.meta.url).pathname;

export interface ServeCommand {
  url: string;
  models: string[];
  /** What it has written to stderr. */
  stderr(): string;
  /** Ctrl-C; resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** Starts it on a free port and waits until it listens. */
export async function startCommand(...args: string[]): Promise<ServeCommand> {
  const child = spawn(
    process.execPath,
    [join(ROOT, 'bin/lorikeet.mjs'), 'serve', '--port', '0', '--json', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let stdout = '';
  let stderr = '';
  const exit = once(child, 'exit') as Promise<[number | null]>;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const line = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.includes('\n')) resolve(stdout);
    });
    void exit.then(([code]) => reject(new Error(`lorikeet serve ended with ${String(code)}: ${stderr}`)));
  });
  const { url, models } = JSON.parse(await line) as { url: string; models: string[] };
  return {
    url,
    models,
    stderr: () => stderr,
    stop: async () => {
      child.kill('SIGINT');
      return (await exit)[0];
    },
  };
}
