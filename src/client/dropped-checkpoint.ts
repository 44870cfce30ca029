/** Files that were dropped anywhere or picked: looked at first, then added, resumed, or used as model or data. */
import type { CheckpointRow, DroppedFile } from '../../workers/checkpoints-api.ts';
import { pickDataFile } from '../stores/data-store.ts';
import { DOING, DONE } from '../stores/kept-notes.ts';
import { keptStore } from '../stores/kept-store.ts';
import { pickModelFiles } from '../stores/model-store.ts';
import { cancelTransfer, doKept } from './checkpoints.ts';
import { resumeCheckpoint, warmStart } from './resume.ts';
import { callWorker } from './studio-client.ts';

/** Finds out what files are; nothing else is done with them. `left` are items that are no files, by name and reason. */
export function lookAt(files: readonly DroppedFile[], left: readonly string[] = []): Promise<void> {
  keptStore.setState({ dropped: null });
  return doKept(
    DOING.peeking(),
    () => callWorker((api) => api.peek(files)),
    ({ peek, paths }) => ({
      dropped: {
        files: files.filter(({ path }) => paths.includes(path)),
        peek: { ...peek, notes: [...peek.notes, ...left] },
      },
    }),
  );
}

/** A text or an address was dropped: it is named, and nothing is done with it. */
export function refuseText(text: string): void {
  keptStore.setState({
    error: {
      code: 'FILE_UNREADABLE',
      message: `A text was dropped, not a file: "${text.slice(0, 80)}".`,
      fix: 'Save it as a file, and drop that.',
    },
  });
}

export function dismissDropped(): void {
  keptStore.setState({ dropped: null });
}

/** Adds what was dropped to the list, and goes on from it where that was asked for. */
export async function addDropped(then: 'list' | 'resume' | 'warm-start'): Promise<void> {
  const { dropped } = keptStore.getState();
  if (dropped === null) return;
  let added: CheckpointRow | null = null;
  await doKept(
    DOING.adding(),
    (onProgress) => callWorker((api) => api.importFiles(dropped.files, onProgress)),
    ({ checkpoint, alreadyThere, notes }) => {
      added = checkpoint;
      const said = [DONE.added(checkpoint.name, alreadyThere), ...notes].join(' ');
      return { dropped: null, done: said, open: checkpoint.id };
    },
    cancelTransfer,
  );
  const row: CheckpointRow | null = added;
  if (row === null) return;
  if (then === 'resume') await resumeCheckpoint(row);
  if (then === 'warm-start') await warmStart(row);
}

/** Takes what was dropped as the data to train on. */
export function useAsData(): void {
  const file = keptStore.getState().dropped?.files[0]?.file;
  if (file !== undefined) pickDataFile(file);
  dismissDropped();
}

/** Takes what was dropped as the model. */
export function useAsModel(): void {
  const files = keptStore.getState().dropped?.files;
  if (files !== undefined) pickModelFiles(files);
  dismissDropped();
}
