/** Commands that take a checkpoint out of the store, and bring one in. */
import { exportEntries } from '../../checkpoints/export-checkpoint.ts';
import { importCheckpoint } from '../../checkpoints/import-checkpoint.ts';
import { StudioError } from '../../errors.ts';
import { checkTarget, openPath } from '../../storage/node-fs.ts';
import { writeExport } from '../sources.ts';
import { bytes, count } from '../words.ts';
import { named, note, recordOf, withStore } from './open.ts';
import { plain } from './print.ts';
import type { CheckpointCommands } from './program.ts';

export const moveCommands: Pick<CheckpointCommands, 'export' | 'import'> = {
  export: async (path, options) => {
    const { out, kind, dtype } = options;
    if (dtype !== undefined && kind !== 'sampler') {
      throw new StudioError({
        code: 'OPTION_INVALID',
        message: `--dtype is ${dtype}, and a ${kind} export holds what training goes on from, as it is.`,
        fix: 'Leave --dtype out, or export the adapter alone with --kind sampler.',
      });
    }
    await checkTarget(out);
    await withStore(
      options,
      async (store) => {
        const record = await recordOf(store, path);
        const as = dtype === undefined ? {} : ({ dtype: dtype === 'bf16' ? 'BF16' : 'F32' } as const);
        const entries = await exportEntries(await store.open(record.id), { kind, ...as });
        await writeExport(out, entries);
        const size = entries.reduce((sum, entry) => sum + entry.size, 0);
        const [from] = await named(store, [record]);
        return { out, path: from, name: record.name, kind, files: entries.length, bytes: size };
      },
      ({ path: from, files, bytes: size }) =>
        `Wrote ${from ?? path} (${kind}) to ${out}: ${count(files)} files, ${bytes(size)} unpacked\n`,
    );
  },
  import: async (path, options) => {
    // Opened first: a path that is not there makes no store.
    const source = await openPath(path);
    await withStore(
      options,
      async (store) => {
        const { checkpoint, run, alreadyThere, notes } = await importCheckpoint(store, source, {
          runName: options.run,
          name: options.name,
        });
        for (const text of notes) note(text);
        return { path: `${run.name}/${checkpoint.name}`, alreadyThere, notes, ...plain(checkpoint) };
      },
      ({ path: added, alreadyThere }) => `${alreadyThere ? 'There already' : 'Added'}: ${added}\n`,
      true,
    );
  },
};
