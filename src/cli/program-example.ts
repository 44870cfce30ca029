/** `lorikeet example` with its options and help texts. */
import type { Command } from 'commander';
import type { CommonOptions, StoreOptions } from './options.ts';
import { whole, withCommon } from './program-options.ts';
import { withStore } from './program-training.ts';

export interface RlExampleCommandOptions extends CommonOptions, StoreOptions {
  seed: number;
  iterations: number;
}

export interface DpoExampleCommandOptions extends CommonOptions, StoreOptions {
  seed: number;
  sftEpochs: number;
  epochs: number;
}

export interface ExampleCommands {
  rl(options: RlExampleCommandOptions): Promise<void>;
  dpo(options: DpoExampleCommandOptions): Promise<void>;
}

const seed = () => whole('--seed <n>', 'of all that is drawn; the same seed gives the same run', 0, 0);

/** Adds the group. */
export function addExamples(program: Command, run: ExampleCommands): void {
  const group = program.command('example').description('Run a training program on the embedded model.');
  const rl = group
    .command('rl')
    .description('Reinforcement learning: stories learn to begin as they are rewarded for.')
    .addOption(whole('--iterations <n>', 'draws and updates, two for each pass over the prompts', 1, 10))
    .addOption(seed());
  withCommon(withStore(rl)).action((options: RlExampleCommandOptions) => run.rl(options));
  const dpo = group
    .command('dpo')
    .description('Fine-tuning on two tones of answers, then on pairs that like one of them better.')
    .addOption(whole('--sft-epochs <n>', 'passes over the rows', 1, 6))
    .addOption(whole('--epochs <n>', 'passes over the pairs', 1, 3))
    .addOption(seed());
  withCommon(withStore(dpo)).action((options: DpoExampleCommandOptions) => run.dpo(options));
}
