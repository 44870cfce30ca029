/** The store of a run on the command line: where it is, what is saved when, and what is said of it. */
import { storeDecoders } from '../checkpoints/encodings.ts';
import { DEFAULT_SAVE_POLICY, type SavePolicy } from '../checkpoints/save-policy.ts';
import type { SavedEvent } from '../checkpoints/run-saver.ts';
import type { ErrorFields } from '../errors.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { openFolderBackend } from '../storage/folder-backend.ts';
import { openCheckpointStore } from '../storage/open-store.ts';
import type { SaveOptions } from './options.ts';
import type { Reporter } from './progress.ts';
import { DEFAULT_STORE } from './program-training.ts';
import { bytes, count } from './words.ts';

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
export function policyOf(options: SaveOptions): SavePolicy {
  const { saveEvery, saveMinutes, keepLatest, keepBest, keepEvery, ttl, delta } = options;
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

/** The command that goes on with a run. */
export function resumeCommand(run: string, store: string): string {
  return `lorikeet finetune --resume ${run}${store === DEFAULT_STORE ? '' : ` --store ${store}`}`;
}
