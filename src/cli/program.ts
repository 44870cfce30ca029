/** The commands with their options and help texts; what they do is handed in. */
import { Command, Help, Option } from 'commander';
import { DEFAULT_FINETUNE, DEFAULT_GENERATE, DEFAULT_LORA } from '../engine/index.ts';
import type { CommonOptions, EvaluateOptions, FinetuneOptions, GenerateOptions } from './options.ts';
import { collect, oneOf, realNumber, targetList, wholeNumber } from './values.ts';

/** What each command does. */
export interface Commands {
  finetune(options: FinetuneOptions): Promise<void>;
  generate(options: GenerateOptions): Promise<void>;
  evaluate(options: EvaluateOptions): Promise<void>;
  inspect(path: string, options: CommonOptions): Promise<void>;
  devices(options: CommonOptions): Promise<void>;
}

const MODEL = 'model folder, Hub id (owner/name), or tiny for the embedded model';
const ADAPTER = 'PEFT adapter: folder, .tar or .tar.gz';
const SHARE = 0.05;

/** An option whose value is read by `read`. */
function value<T>(flags: string, description: string, read: (text: string) => T, byDefault?: T): Option {
  const option = new Option(flags, description).argParser(read);
  return byDefault === undefined ? option : option.default(byDefault);
}

/** A whole-number option; its name in messages is the long flag. */
const whole = (flags: string, description: string, least: number, byDefault?: number): Option =>
  value(flags, description, wholeNumber(flags.split(' ')[0] ?? flags, least), byDefault);

const real = (
  flags: string,
  description: string,
  [fits, form]: [(value: number) => boolean, string],
  byDefault?: number,
): Option => value(flags, description, realNumber(flags.split(' ')[0] ?? flags, fits, form), byDefault);

const ABOVE_ZERO: [(value: number) => boolean, string] = [(v) => v > 0, 'a number above 0'];
const FROM_ZERO: [(value: number) => boolean, string] = [(v) => v >= 0, 'a number from 0'];
const BELOW_ONE: [(value: number) => boolean, string] = [
  (v) => v >= 0 && v < 1,
  'a number from 0 to below 1',
];
const ANY: [(value: number) => boolean, string] = [() => true, 'a number'];
const SPLIT: [(value: number) => boolean, string] = [(v) => v >= 0 && v <= 0.5, 'a number from 0 to 0.5'];
const TOP_P: [(value: number) => boolean, string] = [(v) => v > 0 && v <= 1, 'a number above 0 up to 1'];

function withCommon(command: Command): Command {
  return command
    .option('--device <name>', 'GPU by a part of its name, as `lorikeet devices` lists it, or auto', 'auto')
    .option('--json', 'print the result as JSON', false)
    .option('--quiet', 'print no progress and no notes', false);
}

function withData(command: Command): Command {
  return command
    .requiredOption('--data <file>', 'rows: .jsonl, .json, .csv, .tsv or .txt')
    .addOption(whole('--max-length <tokens>', 'longest row; longer ones are cut at their end', 2, 512))
    .addOption(
      value(
        '--train-on <what>',
        'completion (and assistant turns), or all tokens',
        oneOf('--train-on', ['completion', 'all']),
        'completion',
      ),
    )
    .option('--chat', 'wrap plain prompts and completions as a chat', false);
}

function addFinetune(program: Command, run: Commands['finetune']): void {
  const command = program
    .command('finetune')
    .description('Train a LoRA adapter on a data file.')
    .requiredOption('--model <model>', MODEL)
    .requiredOption('--out <path>', 'where the adapter goes: a folder, or a path ending in .tar.gz');
  withData(command)
    .addOption(whole('--rank <r>', 'rank of the adapter', 1, DEFAULT_LORA.rank))
    .addOption(real('--alpha <a>', 'scale of the adapter, times its rank', ABOVE_ZERO, DEFAULT_LORA.alpha))
    .addOption(real('--dropout <p>', 'dropout on the inputs of the adapter', BELOW_ONE, DEFAULT_LORA.dropout))
    .option('--rslora', 'scale alpha / sqrt(rank) instead of alpha / rank', DEFAULT_LORA.rslora)
    .addOption(
      value('--targets <names>', 'layers that get an adapter', targetList('--targets'), 'all-linear'),
    )
    .option(
      '--init-adapter <path>',
      `go on from this ${ADAPTER}; rank, alpha, scale and targets are then its own`,
    )
    .addOption(
      real('--epochs <n>', 'passes over the data', ABOVE_ZERO, DEFAULT_FINETUNE.epochs).conflicts('steps'),
    )
    .addOption(whole('--steps <n>', 'optimizer steps, instead of epochs', 1))
    .addOption(whole('--batch-size <rows>', 'rows per batch', 1, DEFAULT_FINETUNE.batchSize))
    .addOption(
      whole('--grad-accumulation <n>', 'batches per optimizer step', 1, DEFAULT_FINETUNE.gradAccumulation),
    )
    .addOption(real('--lr <rate>', 'peak learning rate', FROM_ZERO, DEFAULT_FINETUNE.learningRate))
    .addOption(
      value(
        '--schedule <name>',
        'learning rate over time: constant, linear or cosine',
        oneOf('--schedule', ['constant', 'linear', 'cosine']),
        DEFAULT_FINETUNE.schedule,
      ),
    )
    .addOption(whole('--warmup-steps <n>', 'steps in which the rate rises', 0, DEFAULT_FINETUNE.warmupSteps))
    .addOption(real('--beta1 <b>', 'AdamW', BELOW_ONE, DEFAULT_FINETUNE.beta1))
    .addOption(real('--beta2 <b>', 'AdamW', BELOW_ONE, DEFAULT_FINETUNE.beta2))
    .addOption(real('--eps <e>', 'AdamW', ABOVE_ZERO, DEFAULT_FINETUNE.eps))
    .addOption(real('--weight-decay <w>', 'AdamW', FROM_ZERO, DEFAULT_FINETUNE.weightDecay))
    .addOption(
      real('--grad-clip <norm>', 'largest gradient norm; 0 is off', FROM_ZERO, DEFAULT_FINETUNE.gradClip),
    )
    .addOption(whole('--seed <n>', 'of initialisation, order, split and dropout', 0, DEFAULT_FINETUNE.seed))
    .option('--no-shuffle', 'take the rows in the order of the file, from the start again at its end')
    .addOption(new Option('--eval-data <file>', 'rows to evaluate on').conflicts('evalSplit'))
    .addOption(
      real('--eval-split [share]', 'part of the rows kept for evaluation', SPLIT, 0).preset(String(SHARE)),
    )
    .addOption(
      whole(
        '--eval-every <n>',
        'steps between evaluations; 0 is at the end alone',
        0,
        DEFAULT_FINETUNE.evalEvery,
      ),
    )
    .option('--metrics <file>', 'write the figures of each step as JSON Lines')
    .addOption(
      value('--adapter-dtype <type>', 'f32 or bf16', oneOf('--adapter-dtype', ['f32', 'bf16']), 'f32'),
    )
    .action(run);
  withCommon(command);
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
  addFinetune(program, (options) => commands.finetune(options));
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
  return program;
}
