/** Commands that change what a person says of a checkpoint: tags, pin, note, name, time to live. */
import { StudioError } from '../../errors.ts';
import type { CheckpointStore } from '../../storage/checkpoint-store.ts';
import type { CheckpointRecord } from '../../storage/records.ts';
import { runName } from '../values.ts';
import { named, recordOf, withStore } from './open.ts';
import { plain } from './print.ts';
import type { CheckpointCommands, KeptOptions } from './program.ts';

function secondsOf(text: string): number | null {
  if (text === 'none') return null;
  const seconds = Number(text);
  if (text.trim() !== '' && Number.isFinite(seconds) && seconds > 0) return seconds;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `${JSON.stringify(text)} is no time to live.`,
    fix: 'Use seconds above 0, or none.',
  });
}

async function change(
  path: string,
  options: KeptOptions,
  work: (store: CheckpointStore, record: CheckpointRecord) => Promise<CheckpointRecord>,
): Promise<void> {
  await withStore(
    options,
    async (store) => {
      const changed = await work(store, await recordOf(store, path));
      return { path: (await named(store, [changed]))[0] ?? changed.name, ...plain(changed) };
    },
    (changed) => `Changed ${changed.path}\n`,
  );
}

async function renameRun(store: CheckpointStore, from: string, to: string): Promise<object> {
  const run = await store.findRun(from);
  const name = runName('The new name')(to);
  const taken = (await store.runs()).some((other) => other.name === name && other.id !== run.id);
  if (taken) {
    throw new StudioError({
      code: 'CHECKPOINT_EXISTS',
      message: `There is a run ${name} already.`,
      fix: 'Choose another name.',
    });
  }
  await store.updateRun(run.id, { name });
  return { id: run.id, name };
}

export const changeCommands: Pick<CheckpointCommands, 'tag' | 'pin' | 'note' | 'rename' | 'ttl'> = {
  tag: (path, tags, options) =>
    change(path, options, (store, record) =>
      store.update(record.id, {
        tags: options.remove
          ? record.tags.filter((tag) => !tags.includes(tag))
          : [...new Set([...record.tags, ...tags])],
      }),
    ),
  pin: (path, pinned, options) => change(path, options, (store, { id }) => store.update(id, { pinned })),
  note: (path, text, options) => change(path, options, (store, { id }) => store.update(id, { note: text })),
  rename: async (path, name, options) => {
    if (path.includes('/')) {
      await change(path, options, (store, { id }) => store.update(id, { name }));
      return;
    }
    await withStore(
      options,
      (store) => renameRun(store, path, name),
      () => `The run ${path} is called ${name} now\n`,
    );
  },
  ttl: async (path, text, options) => {
    const ttlSeconds = secondsOf(text);
    await change(path, options, (store, { id }) => store.update(id, { ttlSeconds }));
  },
};
