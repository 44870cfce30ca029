/** The store of a run on the command line: where it is, what is saved when, and what is said of it. */
import { storeDecoders } from '../checkpoints/encodings.ts';
import { DEFAULT_SAVE_POLICY, type SavePolicy } from '../checkpoints/save-policy.ts';
import type { SavedEvent } from '../checkpoints/run-saver.ts';
import type { ErrorFields } from '../errors.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { openFolderBackend } from '../storage/folder-backend.ts';
import { openCheckpointStore } from '../storage/open-store.ts';
import type { Reporter } from './progress.ts';
import { DEFAULT_STORE } from './program-training.ts';
import type { Saving } from './run-source.ts';
import { bytes, count, quoted } from './words.ts';

/** Opens the folder; what was found in it that a person should know is noted. `create` makes one that is missing. */
export async function openStore(
  folder: string,
  create: boolean,
  note: (text: string) => void,
): Promise<CheckpointStore> {
  const decoders = storeDecoders((id) => store.open(id));
  const store: CheckpointStore = await openCheckpointStore(await openFolderBackend(folder, { create }), {
    decoders,
  });
  const { swept, damaged, unreadable } = store.start;
  if (swept.unfinished.length > 0) {
    note(`A save was cut off earlier; its remains were removed (${count(swept.chunks)} pieces).`);
  }
  for (const { name } of damaged) note(`${name} has lost some of its bytes; it is marked as damaged.`);
  for (const { what, problem } of unreadable) note(`${what} cannot be read: ${problem}.`);
  return store;
}

/** When the run saves itself, and what is kept of it. */
export function policyOf(saving: Saving): SavePolicy {
  const { saveEvery, saveMinutes, keepLatest, keepBest, keepEvery, ttl, delta } = saving;
  const declared = keepLatest !== undefined || keepBest !== undefined || keepEvery !== undefined;
  const evaluation = { metric: 'evalLoss', direction: 'min' } as const;
  return {
    ...DEFAULT_SAVE_POLICY,
    everySteps: saveEvery,
    everyMinutes: saveMinutes,
    ttlSeconds: ttl ?? null,
    delta,
    retention: declared
      ? {
          ...(keepLatest === undefined ? {} : { keepLatest }),
          ...(keepBest === undefined ? {} : { keepBest: { count: keepBest, ...evaluation } }),
          ...(keepEvery === undefined ? {} : { keepEvery }),
        }
      : DEFAULT_SAVE_POLICY.retention,
  };
}

/** A line for each save. */
export function noteSaved(
  report: Reporter,
  { checkpoint, stallMs, writtenBytes, removed }: SavedEvent,
): void {
  const gone = removed.length === 0 ? '' : `; to the bin: ${removed.map(({ name }) => name).join(', ')}`;
  report.note(
    `Saved ${checkpoint.name} at step ${String(checkpoint.step)}: ${bytes(writtenBytes)} written, training held for ${count(stallMs)} ms${gone}`,
  );
}

/** A save that failed takes nothing from the run. */
export function noteFailed(report: Reporter, { code, message, fix }: ErrorFields): void {
  report.note(`Not saved (${code}): ${message} ${fix} The run goes on in memory.`);
}

/** The command that goes on with a run, or with `RUN/NAME`, as a shell takes it. */
export function resumeCommand(path: string, { store, device }: { store: string; device: string }): string {
  // The variable would point somewhere else where it is set.
  const usual = store === DEFAULT_STORE && process.env['LORIKEET_STORE'] === undefined;
  const where = usual ? '' : ` --store ${quoted(store)}`;
  return `lorikeet finetune --resume ${quoted(path)}${where}${device === 'auto' ? '' : ` --device ${quoted(device)}`}`;
}
