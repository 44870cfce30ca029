/** Commands that take a checkpoint out of the store, and bring one in. */
import { exportEntries } from '../../checkpoints/export-checkpoint.ts';
import { importCheckpoint } from '../../checkpoints/import-checkpoint.ts';
import { StudioError } from '../../errors.ts';
import type { ByteSource } from '../../formats/bytes.ts';
import type { FileSet } from '../../formats/file-set.ts';
import { checkTarget, openPath } from '../../storage/node-fs.ts';
import { writeExport } from '../sources.ts';
import { bytes, count } from '../words.ts';
import { named, note, recordOf, withStore } from './open.ts';
import { plain } from './print.ts';
import type { CheckpointCommands, ImportOptions } from './program.ts';
import { withServerArchive } from './server.ts';

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
    if (options.server !== undefined) {
      await withServerArchive(options.server, path, (source) => addTo(options, source, nameOnServer(path)));
      return;
    }
    // Opened first: a path that is not there makes no store.
    await addTo(options, await openPath(path), {});
  },
};

/** Run and name that a server's checkpoint gets here, unless others are asked for. */
function nameOnServer(path: string): { runName: string; name: string } {
  const [, , run = 'server', ...rest] = path.split('/');
  const legal = (text: string): string => text.replaceAll(/[^\w.-]+/g, '-').slice(0, 200);
  return { runName: legal(run), name: legal(rest.at(-1) ?? 'checkpoint') };
}

async function addTo(
  options: ImportOptions,
  source: FileSet | ByteSource,
  usual: { runName?: string; name?: string },
): Promise<void> {
  await withStore(
    options,
    async (store) => {
      const { checkpoint, run, alreadyThere, notes } = await importCheckpoint(store, source, {
        runName: options.run ?? usual.runName,
        name: options.name ?? usual.name,
        weightsOnly: options.weightsOnly,
      });
      for (const text of notes) note(text);
      return { path: `${run.name}/${checkpoint.name}`, alreadyThere, notes, ...plain(checkpoint) };
    },
    ({ path: added, alreadyThere }) => `${alreadyThere ? 'There already' : 'Added'}: ${added}\n`,
    true,
  );
}
