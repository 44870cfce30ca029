/** A data file as what a run trains and evaluates on, with an account for people. */
import { encodeDataset, type EncodedDataset } from '../data/encode.ts';
import type { TrainOn } from '../data/encode-row.ts';
import { readDataset } from '../data/read-dataset.ts';
import { splitRows } from '../data/split.ts';
import { tokenView } from '../data/token-view.ts';
import type { Dataset, RejectedRow, TokenizedExample } from '../data/types.ts';
import type { OpenModel } from './open-model.ts';
import { promptForm, type PromptForm } from './prompt-form.ts';
import { samplePrompt } from './sample-prompt.ts';

export interface DataFile {
  name: string;
  bytes: Uint8Array;
}

export interface DataInput extends DataFile {
  /** A file of its own for evaluation; then nothing is split off. */
  evaluation?: DataFile;
}

export interface PrepareOptions {
  trainOn: TrainOn;
  /** Wrap plain prompts and completions as a chat. */
  chat: boolean;
  /** Longest row in tokens; more than the model has positions is cut down to them. */
  maxLength: number;
  /** Part of the rows kept for evaluation, 0 to 0.5. */
  evalSplit: number;
  seed: number;
}

/** A stretch of a row; adjoining pieces of the same kind are joined. */
export interface PreviewPiece {
  text: string;
  trained: boolean;
}

export interface PreparedSummary {
  name: string;
  /** The detected format, in words. */
  format: string;
  /** Rows that can be used; those for evaluation included unless they come from a file of their own. */
  rows: number;
  trainRows: number;
  evalRows: number;
  rejected: RejectedRow[];
  /** Rows of the evaluation file that are left out. */
  evalRejected: RejectedRow[];
  truncated: number;
  duplicates: number;
  tokens: number;
  trainedTokens: number;
  /** Row lengths in tokens. */
  p50: number;
  p95: number;
  longest: number;
  /** The length that rows were cut to. */
  maxLength: number;
  ignoredFields: string[];
  /** The first rows as the training sees them. */
  preview: PreviewPiece[][];
  /** A prompt that shows the effect of training on this data. */
  samplePrompt: string;
  /** What the person should know: settings that could not be followed, odd rows. */
  notes: string[];
}

export interface PreparedData {
  /** How these rows came to be, for a run that goes on with the same. */
  preparation: PrepareOptions & { name: string };
  /** How the prompts of these rows are put to the model. */
  promptForm: PromptForm;
  train: TokenizedExample[];
  evaluation: TokenizedExample[];
  summary: PreparedSummary;
}

const PREVIEW_ROWS = 5;

/** Reads, encodes and splits the data. Throws a DATA_ error that says why nothing could be trained. */
export function prepareData(input: DataInput, model: OpenModel, options: PrepareOptions): PreparedData {
  const { maxPositions } = model.config;
  const maxLength = Math.min(options.maxLength, maxPositions);
  const encode = (file: DataFile): { dataset: Dataset; encoded: EncodedDataset } => {
    const dataset = readDataset(file.name, file.bytes);
    const { tokenizer, template, config } = model;
    const { trainOn, chat } = options;
    const { vocabSize } = config;
    return {
      dataset,
      encoded: encodeDataset(dataset, { tokenizer, template, trainOn, chat, maxLength, vocabSize }),
    };
  };
  const { dataset, encoded } = encode(input);
  const own = input.evaluation ? encode(input.evaluation).encoded : null;
  const { train, evaluation } = own
    ? { train: encoded.examples, evaluation: own.examples }
    : splitRows(encoded.examples, options.evalSplit, options.seed);
  const { stats } = encoded;
  const { trainOn, chat, evalSplit, seed } = options;
  return {
    preparation: { name: input.name, trainOn, chat, maxLength: options.maxLength, evalSplit, seed },
    promptForm: promptForm(dataset.format, options.chat),
    train,
    evaluation,
    summary: {
      name: input.name,
      format: dataset.formatName,
      rows: stats.rows,
      trainRows: train.length,
      evalRows: evaluation.length,
      rejected: encoded.rejected,
      evalRejected: own?.rejected ?? [],
      truncated: stats.truncated,
      duplicates: stats.duplicates,
      tokens: stats.tokens,
      trainedTokens: stats.trainedTokens,
      p50: stats.p50Length,
      p95: stats.p95Length,
      longest: stats.maxLength,
      maxLength,
      ignoredFields: dataset.ignoredFields,
      preview: encoded.examples.slice(0, PREVIEW_ROWS).map((example) => preview(model, example)),
      samplePrompt: samplePrompt(dataset, model),
      notes: notesOn(encoded, options.maxLength, maxPositions),
    },
  };
}

function preview({ tokenizer }: OpenModel, example: TokenizedExample): PreviewPiece[] {
  const pieces: PreviewPiece[] = [];
  for (const { text, trained } of tokenView(tokenizer, example)) {
    const last = pieces.at(-1);
    if (last?.trained === trained) last.text += text;
    else pieces.push({ text, trained });
  }
  return pieces;
}

function notesOn({ stats }: EncodedDataset, wanted: number, maxPositions: number): string[] {
  const notes: string[] = [];
  if (wanted > maxPositions)
    notes.push(`The model has ${maxPositions} positions, so the maximum length is ${maxPositions}.`);
  if (stats.mergedBoundaries > 0) {
    notes.push(
      `In ${stats.mergedBoundaries} rows one token runs across the border of prompt and completion; it is not trained.`,
    );
  }
  return notes;
}
