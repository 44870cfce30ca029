/** `lorikeet checkpoints ...`: the commands over kept checkpoints, with their options. */
import { Option, type Command } from 'commander';
import type { CommonOptions, StoreOptions } from '../options.ts';
import { ANY, real, value, whole } from '../program-options.ts';
import { withStore } from '../program-training.ts';
import { collect, oneOf, runName } from '../values.ts';

export type KeptOptions = Pick<CommonOptions, 'json'> & StoreOptions;

export interface ListOptions extends KeptOptions {
  run?: string;
  kind?: 'full' | 'sampler' | 'hf-trainer';
  tag: string[];
  text?: string;
  minStep?: number;
  maxStep?: number;
  metric?: string;
  min?: number;
  max?: number;
  sort: string;
  order?: 'asc' | 'desc';
  limit: number;
  offset: number;
  server?: string;
}

export interface PruneOptions extends KeptOptions {
  keepLatest?: number;
  keepBest?: number;
  keepEvery?: number;
  metric: string;
  dryRun: boolean;
}

export interface ExportOptions extends KeptOptions {
  out: string;
  kind: 'full' | 'sampler' | 'hf-trainer';
  /** Default: what it is stored in. */
  dtype?: 'f32' | 'bf16';
}

export interface ImportOptions extends KeptOptions {
  run?: string;
  name?: string;
  server?: string;
  weightsOnly: boolean;
}

/** What the commands do. Checkpoints are named `RUN/NAME`; `RUN` alone is its newest. */
export interface CheckpointCommands {
  list(options: ListOptions): Promise<void>;
  show(path: string, options: KeptOptions): Promise<void>;
  tag(path: string, tags: string[], options: KeptOptions & { remove: boolean }): Promise<void>;
  pin(path: string, pinned: boolean, options: KeptOptions): Promise<void>;
  note(path: string, text: string, options: KeptOptions): Promise<void>;
  rename(path: string, name: string, options: KeptOptions): Promise<void>;
  ttl(path: string, seconds: string, options: KeptOptions): Promise<void>;
  remove(paths: string[], options: KeptOptions & { force: boolean; dryRun: boolean }): Promise<void>;
  bin(options: KeptOptions & { empty: boolean }): Promise<void>;
  restore(paths: string[], options: KeptOptions): Promise<void>;
  prune(run: string, options: PruneOptions): Promise<void>;
  export(path: string, options: ExportOptions): Promise<void>;
  import(path: string, options: ImportOptions): Promise<void>;
  verify(path: string | undefined, options: KeptOptions): Promise<void>;
  compare(a: string, b: string, options: KeptOptions): Promise<void>;
}

const PATH = 'RUN/NAME, or RUN for its newest';

/** Adds the group and its commands. */
export function addCheckpoints(program: Command, run: CheckpointCommands): void {
  const group = program
    .command('checkpoints')
    .description('List, change, take out and bring in checkpoints.');
  const add = (usage: string, description: string): Command =>
    withStore(group.command(usage).description(description)).option(
      '--json',
      'print the result as JSON',
      false,
    );

  add('list', 'List checkpoints, newest first, with the bytes of each run.')
    .option('--run <run>', 'of this run')
    .addOption(
      value(
        '--kind <kind>',
        'full, sampler or hf-trainer',
        oneOf('--kind', ['full', 'sampler', 'hf-trainer']),
      ),
    )
    .addOption(
      new Option('--tag <tag>', 'with this tag; can be given more than once')
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--text <text>', 'in name, tags, note or metadata')
    .addOption(whole('--min-step <n>', 'from this step on', 0))
    .addOption(whole('--max-step <n>', 'up to this step', 0))
    .option('--metric <name>', 'that has this figure, such as evalLoss')
    .addOption(real('--min <value>', 'least value of --metric', ANY))
    .addOption(real('--max <value>', 'largest value of --metric', ANY))
    .option('--sort <by>', 'saved, step, name, size, or the name of a figure', 'saved')
    .addOption(value('--order <order>', 'asc or desc', oneOf('--order', ['asc', 'desc'])))
    .addOption(whole('--limit <n>', 'rows', 1, 50))
    .addOption(whole('--offset <n>', 'rows to leave out', 0, 0))
    .option('--server <url>', 'also those of a server of the Tinker protocol (key: TINKER_API_KEY)')
    .action((options: ListOptions) => run.list(options));
  add('show', 'Everything about one checkpoint, with what it came from and what came of it.')
    .argument('<path>', PATH)
    .action((path: string, options: KeptOptions) => run.show(path, options));
  add('tag', 'Add tags, or take them away.')
    .argument('<path>', PATH)
    .argument('<tags...>', 'tags')
    .option('--remove', 'take these away', false)
    .action((path: string, tags: string[], options: KeptOptions & { remove: boolean }) =>
      run.tag(path, tags, options),
    );
  add('pin', 'Never let retention take it.')
    .argument('<path>', PATH)
    .action((path: string, options: KeptOptions) => run.pin(path, true, options));
  add('unpin', 'Let retention take it again.')
    .argument('<path>', PATH)
    .action((path: string, options: KeptOptions) => run.pin(path, false, options));
  add('note', 'Write a note on it.')
    .argument('<path>', PATH)
    .argument('<text>', 'the note; empty takes it away')
    .action((path: string, text: string, options: KeptOptions) => run.note(path, text, options));
  add('rename', 'Give a checkpoint another name within its run, or a run another name.')
    .argument('<path>', 'RUN/NAME, or RUN for the run itself')
    .argument('<name>', 'the new name')
    .action((path: string, name: string, options: KeptOptions) => run.rename(path, name, options));
  add('ttl', 'Set how long it lives from now on.')
    .argument('<path>', PATH)
    .argument('<seconds>', 'seconds, or none for no limit')
    .action((path: string, seconds: string, options: KeptOptions) => run.ttl(path, seconds, options));
  add('delete', 'Move checkpoints to the bin, from where they can be restored.')
    .argument('<paths...>', 'RUN/NAME; RUN alone is the whole run')
    .option('--force', 'also what is pinned or the last good one', false)
    .option('--dry-run', 'say only what would go, and the bytes', false)
    .action((paths: string[], options: KeptOptions & { force: boolean; dryRun: boolean }) =>
      run.remove(paths, options),
    );
  add('bin', 'List what can be restored.')
    .option('--empty', 'delete it for good, and free the bytes', false)
    .action((options: KeptOptions & { empty: boolean }) => run.bin(options));
  add('restore', 'Bring checkpoints back from the bin.')
    .argument('<paths...>', 'RUN/NAME as the bin lists them, or ids')
    .action((paths: string[], options: KeptOptions) => run.restore(paths, options));
  add('prune', 'Let a policy clean up a run; pinned, best and last good ones stay.')
    .argument('<run>', 'the run')
    .addOption(whole('--keep-latest <n>', 'keep the newest so many', 1))
    .addOption(whole('--keep-best <n>', 'keep the best so many by --metric', 1))
    .addOption(whole('--keep-every <steps>', 'keep those whose step is a multiple', 1))
    .option('--metric <name>', 'of --keep-best', 'evalLoss')
    .option('--dry-run', 'say only what would go, and the bytes', false)
    .action((path: string, options: PruneOptions) => run.prune(path, options));
  add('export', 'Write a checkpoint as an archive or a folder.')
    .argument('<path>', PATH)
    .requiredOption('--out <path>', 'a folder, or a path ending in .tar.gz')
    .addOption(
      value(
        '--kind <kind>',
        'full, sampler (the adapter alone) or hf-trainer',
        oneOf('--kind', ['full', 'sampler', 'hf-trainer']),
        'full',
      ),
    )
    .addOption(
      value(
        '--dtype <type>',
        'of a sampler: f32 or bf16 (default: as stored)',
        oneOf('--dtype', ['f32', 'bf16']),
      ),
    )
    .action((path: string, options: ExportOptions) => run.export(path, options));
  add('import', 'Add an archive or a folder: a checkpoint, a PEFT adapter, a Trainer checkpoint.')
    .argument('<path>', "archive or folder; with --server the checkpoint's path there")
    .addOption(value('--run <name>', 'name of the run, where it makes a new one', runName('--run')))
    .option('--name <name>', 'instead of its own name')
    .option('--weights-only', "leave a Trainer's state out, which may be one that is not read here", false)
    .option('--server <url>', 'fetch it from a server of the Tinker protocol (key: TINKER_API_KEY)')
    .action((path: string, options: ImportOptions) => run.import(path, options));
  add('verify', 'Read every byte back and compare hashes.')
    .argument('[path]', 'RUN/NAME, or RUN for all of its checkpoints; without it, everything')
    .action((path: string | undefined, options: KeptOptions) => run.verify(path, options));
  add('compare', 'Figures, settings and weights of two checkpoints side by side.')
    .argument('<a>', PATH)
    .argument('<b>', PATH)
    .action((a: string, b: string, options: KeptOptions) => run.compare(a, b, options));
}
