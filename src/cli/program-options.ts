/** The kinds of options that the commands share, and their help texts. */
import { Option, type Command } from 'commander';
import { DEFAULT_FINETUNE, DEFAULT_LORA } from '../engine/index.ts';
import { oneOf, realNumber, targetList, wholeNumber } from './values.ts';

export const MODEL = 'model folder, Hub id (owner/name), or tiny for the embedded model';
export const ADAPTER = 'PEFT adapter: folder, .tar or .tar.gz';
export const SHARE = 0.05;

/** An option whose value is read by `read`. */
export function value<T>(
  flags: string,
  description: string,
  read: (text: string) => T,
  byDefault?: T,
): Option {
  const option = new Option(flags, description).argParser(read);
  return byDefault === undefined ? option : option.default(byDefault);
}

/** A whole-number option; its name in messages is the long flag. */
export const whole = (flags: string, description: string, least: number, byDefault?: number): Option =>
  value(flags, description, wholeNumber(flags.split(' ')[0] ?? flags, least), byDefault);

export const real = (
  flags: string,
  description: string,
  [fits, form]: [(value: number) => boolean, string],
  byDefault?: number,
): Option => value(flags, description, realNumber(flags.split(' ')[0] ?? flags, fits, form), byDefault);

export const ABOVE_ZERO: [(value: number) => boolean, string] = [(v) => v > 0, 'a number above 0'];
export const FROM_ZERO: [(value: number) => boolean, string] = [(v) => v >= 0, 'a number from 0'];
export const BELOW_ONE: [(value: number) => boolean, string] = [
  (v) => v >= 0 && v < 1,
  'a number from 0 to below 1',
];
export const ANY: [(value: number) => boolean, string] = [() => true, 'a number'];
export const SPLIT: [(value: number) => boolean, string] = [
  (v) => v >= 0 && v <= 0.5,
  'a number from 0 to 0.5',
];
export const TOP_P: [(value: number) => boolean, string] = [
  (v) => v > 0 && v <= 1,
  'a number above 0 up to 1',
];

/** What every command takes. */
export function withCommon(command: Command): Command {
  return command
    .option('--device <name>', 'GPU by a part of its name, as `lorikeet devices` lists it, or auto', 'auto')
    .option('--json', 'print the result as JSON', false)
    .option('--quiet', 'print no progress and no notes', false);
}

/** How rows become tokens. `required` is off where a run may bring its own data. */
export function withData(command: Command, required = true): Command {
  const data = new Option('--data <file>', 'rows: .jsonl, .json, .csv, .tsv or .txt');
  return command
    .addOption(data.makeOptionMandatory(required))
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

/** The adapter and how it is trained. */
export function withTraining(command: Command): Command {
  return command
    .addOption(whole('--rank <r>', 'rank of the adapter', 1, DEFAULT_LORA.rank))
    .addOption(real('--alpha <a>', 'scale of the adapter, times its rank', ABOVE_ZERO, DEFAULT_LORA.alpha))
    .addOption(real('--dropout <p>', 'dropout on the inputs of the adapter', BELOW_ONE, DEFAULT_LORA.dropout))
    .option('--rslora', 'scale alpha / sqrt(rank) instead of alpha / rank', DEFAULT_LORA.rslora)
    .addOption(
      value('--targets <names>', 'layers that get an adapter', targetList('--targets'), 'all-linear'),
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
    );
}
