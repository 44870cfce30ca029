/** The right to add to a run: one writer at a time, whatever tab or process it is in. */
import { StudioError } from '../errors.ts';
import { runLock } from './backend.ts';
import type { ReadOnlyRun, RunWriter } from './checkpoint-store.ts';
import { runOf } from './commit-checks.ts';
import { saveCheckpoint, type CommitContext } from './commit.ts';
import type { CheckpointRecord } from './records.ts';

export interface WriterOptions {
  wait: boolean;
  signal?: AbortSignal | undefined;
  onSaved: (checkpoint: CheckpointRecord) => void;
  onRelease: (writer: RunWriter) => void;
}

/** Takes the writer's lock of a run, or says who has it. */
export async function openRunWriter(
  context: CommitContext,
  runId: string,
  options: WriterOptions,
): Promise<RunWriter | ReadOnlyRun> {
  const { backend } = context;
  const run = runOf(await backend.contents(), runId);
  const { wait, signal } = options;
  const answer = await backend.locks.acquire(runLock(runId), {
    mode: 'exclusive',
    wait,
    ...(signal === undefined ? {} : { signal }),
  });
  if (answer.lock === null) {
    const reason = `The run ${run.name} is being written by ${answer.holder}. It is open for reading here.`;
    return { writable: false, runId, reason };
  }
  const { lock } = answer;
  let released = false;
  let last: Promise<unknown> = Promise.resolve();
  const writer: RunWriter = {
    writable: true,
    runId,
    save: (input, saveOptions) => {
      if (released) {
        return Promise.reject(
          new StudioError({
            code: 'STORE_LOCKED',
            message: `The run ${run.name} is no longer open for writing, so ${input.name} was not saved.`,
            fix: 'Open the run again for writing.',
          }),
        );
      }
      const saving = last.then(() => saveCheckpoint(context, runId, input, lock, saveOptions));
      last = saving.then(
        ({ checkpoint }) => options.onSaved(checkpoint),
        // Whoever saves is told; the next save goes ahead.
        () => undefined,
      );
      return saving;
    },
    release: async () => {
      if (released) return;
      released = true;
      await last;
      await lock.release();
      options.onRelease(writer);
    },
  };
  return writer;
}
