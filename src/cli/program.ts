/** The commands with their options and help texts; what they do is handed in. */
import { Command, Help, Option } from 'commander';
import { DEFAULT_GENERATE } from '../engine/index.ts';
import { addCheckpoints, type CheckpointCommands } from './checkpoints/program.ts';
import type {
  CommonOptions,
  EvaluateOptions,
  FinetuneOptions,
  GenerateOptions,
  VerifyResumeOptions,
} from './options.ts';
import {
  ADAPTER,
  ANY,
  FROM_ZERO,
  MODEL,
  real,
  TOP_P,
  whole,
  withCommon,
  withData,
} from './program-options.ts';
import { addExamples, type ExampleCommands } from './program-example.ts';
import { addRelay, type RelayCommandOptions } from './program-relay.ts';
import { addServe, type ServeCommandOptions } from './program-serve.ts';
import { addTraining } from './program-training.ts';
import { collect } from './values.ts';

/** What each command does. */
export interface Commands {
  finetune(options: FinetuneOptions): Promise<void>;
  verifyResume(options: VerifyResumeOptions): Promise<void>;
  generate(options: GenerateOptions): Promise<void>;
  evaluate(options: EvaluateOptions): Promise<void>;
  inspect(path: string, options: CommonOptions): Promise<void>;
  devices(options: CommonOptions): Promise<void>;
  relay(options: RelayCommandOptions): Promise<void>;
  serve(options: ServeCommandOptions): Promise<void>;
  examples: ExampleCommands;
  checkpoints: CheckpointCommands;
}

function addGenerate(program: Command, run: Commands['generate']): void {
  const command = program
    .command('generate')
    .description('Answer a prompt.')
    .requiredOption('--model <model>', MODEL)
    .option('--adapter <path>', ADAPTER)
    .addOption(
      new Option('--prompt <text>', 'one user turn, or plain text where the model has no chat template'),
    )
    .addOption(
      new Option('--messages <file>', 'a conversation: a JSON list of {"role", "content"}').conflicts(
        'prompt',
      ),
    )
    .option('--raw', 'take the prompt as plain text in any case', false)
    .addOption(whole('--max-tokens <n>', 'longest answer', 1, DEFAULT_GENERATE.maxTokens))
    .addOption(
      real('--temperature <t>', '0 takes the likeliest token', FROM_ZERO, DEFAULT_GENERATE.temperature),
    )
    .addOption(whole('--top-k <n>', 'of the likeliest tokens only; 0 is off', 0, DEFAULT_GENERATE.topK))
    .addOption(
      real(
        '--top-p <p>',
        'of the likeliest tokens that have this share; 1 is off',
        TOP_P,
        DEFAULT_GENERATE.topP,
      ),
    )
    .addOption(whole('--seed <n>', 'of the draws', 0, DEFAULT_GENERATE.seed))
    .addOption(
      new Option('--stop <text>', 'end before this text; can be given more than once')
        .argParser(collect)
        .default([], 'none'),
    )
    .addOption(
      real(
        '--adapter-scale <s>',
        "times the adapter's own; 0 is the base model",
        ANY,
        DEFAULT_GENERATE.adapterScale,
      ),
    )
    .option('--logprobs', 'print the log-probability of each token', false)
    .action(run);
  withCommon(command);
}

function addEvaluate(program: Command, run: Commands['evaluate']): void {
  const command = program
    .command('evaluate')
    .description('Measure the loss over the rows of a data file.')
    .requiredOption('--model <model>', MODEL)
    .option('--adapter <path>', ADAPTER);
  withData(command)
    .addOption(real('--adapter-scale <s>', "times the adapter's own; 0 is the base model", ANY, 1))
    .action(run);
  withCommon(command);
}

/** A switch is off unless it is given; that needs no words. */
function describeOption(option: Option): string {
  return new Help().optionDescription(option).replace(/ \(default: (false|true)\)$/, '');
}

/** The whole command line. Help and version go to `print`; wrong usage throws a CommanderError and prints nothing. */
export function buildProgram(version: string, commands: Commands, print: (text: string) => void): Command {
  const program = new Command('lorikeet')
    .description('Fine-tunes small language models with WebGPU.')
    .version(version)
    .exitOverride()
    .configureHelp({ optionDescription: describeOption })
    .configureOutput({ writeOut: print, writeErr: () => undefined });
  addTraining(program, {
    finetune: (options) => commands.finetune(options),
    verifyResume: (options) => commands.verifyResume(options),
  });
  addGenerate(program, (options) => commands.generate(options));
  addEvaluate(program, (options) => commands.evaluate(options));
  const inspect = program
    .command('inspect')
    .description('Describe a model folder, an adapter folder or an adapter archive.')
    .argument('<path>', 'folder or archive')
    .action((path: string, options: CommonOptions) => commands.inspect(path, options));
  withCommon(inspect);
  const devices = program
    .command('devices')
    .description('List the GPUs that can be used.')
    .action((options: CommonOptions) => commands.devices(options));
  withCommon(devices);
  addRelay(program, (options) => commands.relay(options));
  addServe(program, (options) => commands.serve(options));
  addExamples(program, commands.examples);
  addCheckpoints(program, commands.checkpoints);
  return program;
}
