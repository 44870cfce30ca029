/** What the test of stored differences runs in its page; loaded there as a module. */
import { openIndexedDbBackend } from '../storage/indexeddb-backend.ts';
import { encodingCases } from './testing-encodings.ts';

/** Runs one case in a database of its own; empty when it passed. */
async function runCase(name: string): Promise<string> {
  try {
    const found = encodingCases.find((other) => other.name === name);
    if (found === undefined) return `no case ${name}`;
    await found.run({ backend: () => openIndexedDbBackend({ name: `case ${name}` }) });
    return '';
  } catch (error) {
    return error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error);
  }
}

export const inBrowser = { runCase };
Object.assign(globalThis, { inBrowser });
