/** `lorikeet finetune` and `lorikeet verify-resume` with their options. */
import { Option, type Command } from 'commander';
import type { FinetuneOptions, VerifyResumeOptions } from './options.ts';
import {
  ADAPTER,
  MODEL,
  real,
  value,
  whole,
  withCommon,
  withData,
  withTraining,
  ABOVE_ZERO,
} from './program-options.ts';
import { oneOf, runName } from './values.ts';

/** The folder of checkpoints where none is named. */
export const DEFAULT_STORE = 'lorikeet-runs';

/** Where the checkpoints are. */
export function withStore(command: Command): Command {
  return command.addOption(
    new Option('--store <folder>', 'where checkpoints are kept').env('LORIKEET_STORE').default(DEFAULT_STORE),
  );
}

function withSaving(command: Command): Command {
  return withStore(command)
    .option('--no-save', 'keep no checkpoints of the run')
    .addOption(whole('--save-every <steps>', 'steps between checkpoints; 0 is off', 0, 0))
    .addOption(
      real(
        '--save-minutes <n>',
        'minutes between checkpoints; 0 is off',
        [(v) => v >= 0, 'a number from 0'],
        5,
      ),
    )
    .addOption(whole('--keep-latest <n>', 'keep the newest so many (default: 3, with --keep-every 0)', 1))
    .addOption(whole('--keep-best <n>', 'keep the best so many by evaluation loss (default: 1)', 1))
    .addOption(whole('--keep-every <steps>', 'keep those whose step is a multiple', 1))
    .addOption(real('--ttl <seconds>', 'how long checkpoints that are saved by rule live', ABOVE_ZERO))
    .option('--delta', 'store adapters as differences to an earlier one where that is smaller', false)
    .addOption(value('--name <run>', 'name of a new run', runName('--name')));
}

/** The names of the options that were given on the command line. */
function given(command: Command): string[] {
  return command.options
    .map((option) => option.attributeName())
    .filter((name) => command.getOptionValueSource(name) === 'cli');
}

/** Adds both commands. */
export function addTraining(
  program: Command,
  run: {
    finetune: (options: FinetuneOptions) => Promise<void>;
    verifyResume: (options: VerifyResumeOptions) => Promise<void>;
  },
): void {
  const finetune = program
    .command('finetune')
    .description('Train a LoRA adapter on a data file.')
    .option('--model <model>', MODEL)
    .option('--out <path>', 'where the adapter goes: a folder, or a path ending in .tar.gz')
    .addOption(
      new Option(
        '--resume <run>',
        'go on with a run from its newest checkpoint, or from RUN/NAME, with its own settings',
      ).conflicts('initAdapter'),
    )
    .option(
      '--init-adapter <path>',
      `start from the weights of this ${ADAPTER}, or of the checkpoint RUN/NAME; rank, alpha, scale and targets are then its own`,
    );
  withTraining(withData(finetune, false))
    .option('--metrics <file>', 'write the figures of each step as JSON Lines')
    .addOption(
      value(
        '--adapter-dtype <type>',
        'of --out: f32 or bf16',
        oneOf('--adapter-dtype', ['f32', 'bf16']),
        'f32',
      ),
    );
  withCommon(withSaving(finetune)).action((options: Omit<FinetuneOptions, 'given'>) =>
    run.finetune({ ...options, given: given(finetune) }),
  );
  const verify = program
    .command('verify-resume')
    .description('Prove on this GPU that a resumed run is the run: train twice, compare every bit.')
    .requiredOption('--model <model>', MODEL);
  withTraining(withData(verify))
    .addOption(whole('--before <steps>', 'steps before the checkpoint', 1, 4))
    .addOption(whole('--after <steps>', 'steps after it', 1, 4));
  withCommon(verify).action(run.verifyResume);
}
