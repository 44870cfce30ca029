/** A complete export of a small adapter, for the tests of this folder. */
import { archiveEntries, type AdapterExport } from './archive-write.ts';
import { textEntry, type FileEntry } from './file-entry.ts';
import { sha256Hex } from './sha256.ts';
import type { Chunk } from './streams.ts';
import { tarChunks } from './tar-write.ts';
import { testAdapter } from './testing-adapter.ts';
import { collect } from './testing.ts';

/** What an export takes, with some of it changed. */
export function testExport(changes: Partial<AdapterExport> = {}): AdapterExport {
  return {
    adapter: testAdapter(),
    base: {
      id: 'acme/tiny-llama',
      revision: null,
      configSha256: sha256Hex('config'),
      tokenizerSha256: sha256Hex('tokenizer'),
    },
    run: {
      id: '01JD0000000000000000000001',
      runId: '01JD0000000000000000000000',
      parentId: null,
      name: 'step-000010',
      step: 10,
      createdAt: '2026-11-21T12:00:00.000Z',
      appVersion: '0.1.0',
    },
    optimizer: { type: 'adamw', betas: [0.9, 0.95], eps: 1e-12, weightDecay: 0 },
    metrics: { loss: 1.25 },
    determinism: { adapter: 'SwiftShader', shaderHash: 'abc', dtype: 'F32' },
    dtype: 'F32',
    fanInFanOut: false,
    tokenizerFiles: new Map([['tokenizer.json', new TextEncoder().encode('{"version":"1.0"}')]]),
    card: { dataName: 'pirates.jsonl', facts: [['Steps', '10']] },
    ...changes,
  };
}

/** The same with state inside: a `full` export. */
export function testFullExport(): AdapterExport {
  return testExport({
    stateFiles: [
      textEntry('state/trainer.json', '{"step":10}'),
      textEntry('state/optimizer.safetensors', 'x'),
    ],
  });
}

export const tarOfEntries = (entries: readonly FileEntry[]): Promise<Chunk> => collect(tarChunks(entries));

/** The tar of an export after some entries were replaced, added (text), or taken away (null). */
export async function changedTar(
  what: AdapterExport,
  changes: Readonly<Record<string, string | null>>,
): Promise<Chunk> {
  const entries = new Map((await archiveEntries(what)).map((entry) => [entry.path, entry]));
  for (const [path, text] of Object.entries(changes)) {
    if (text === null) entries.delete(path);
    else entries.set(path, textEntry(path, text));
  }
  return tarOfEntries([...entries.values()]);
}
