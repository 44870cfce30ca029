/** `lorikeet generate`: one answer, printed while it is written. */
import { readMessages } from '../data/messages.ts';
import { AdapterState, Generator, type BaseModel } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { Adapter } from '../formats/adapter.ts';
import { decodeUtf8, parseStrictJson } from '../formats/strict-json.ts';
import { answer } from '../run/answer.ts';
import { encodePrompt, type Prompt } from '../run/encode-prompt.ts';
import type { OpenModel } from '../run/open-model.ts';
import type { AnswerPiece } from '../run/stop-texts.ts';
import { fileSource } from '../storage/node-fs.ts';
import { withGpu } from './gpu.ts';
import { loadModel } from './load-model.ts';
import type { GenerateOptions } from './options.ts';
import { createReporter } from './progress.ts';
import { openAdapterAt, openModelAt } from './sources.ts';

const MAX_MESSAGES_BYTES = 16 * 2 ** 20;

/** Runs the command. */
export async function generate(options: GenerateOptions): Promise<void> {
  const report = createReporter(options);
  const prompt = await readPrompt(options);
  const model = await openModelAt(options.model, report);
  const promptIds = encodePrompt(model, prompt, options.raw);
  const read = options.adapter === undefined ? null : await openAdapterAt(options.adapter, report);
  await withGpu(options.device, report, async (gpu) => {
    const base = await loadModel(model, gpu, report);
    const state = read && adapterState(base, read.adapter);
    const generator = await Generator.create(base, state, promptIds.length + options.maxTokens);
    report.end();
    const pieces = await print(generator, model, prompt, options);
    process.stdout.write(options.json ? jsonAnswer(pieces, promptIds, options) : textEnd(pieces, options));
    generator.dispose();
    state?.dispose();
    base.dispose();
  });
}

async function readPrompt({ prompt, messages }: GenerateOptions): Promise<Prompt> {
  if (prompt !== undefined) return prompt;
  if (messages === undefined) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: 'There is nothing to answer.',
      fix: 'Give --prompt TEXT, or --messages FILE with a JSON list of {"role", "content"}.',
    });
  }
  const source = await fileSource(messages);
  if (source.size > MAX_MESSAGES_BYTES) {
    throw new StudioError({
      code: 'INPUT_TOO_LARGE',
      message: `${messages} has ${source.size} bytes; at most ${MAX_MESSAGES_BYTES} are read.`,
      fix: 'Check that this is the right file.',
    });
  }
  const text = decodeUtf8(await source.read(0, source.size), messages);
  const list = readMessages(parseStrictJson(text, { what: messages }), 'messages');
  if (typeof list !== 'string') return list;
  throw new StudioError({
    code: 'DATA_FORMAT',
    message: `${messages}: ${list}.`,
    fix: 'It must hold a JSON list of {"role", "content"}.',
  });
}

function adapterState(base: BaseModel, { settings, tensors }: Adapter): AdapterState {
  return new AdapterState(base.pool, base.config, settings, { tensors });
}

/** Generates the answer; unless JSON was asked for, its text is printed as it comes. */
async function print(
  generator: Generator,
  model: OpenModel,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<AnswerPiece[]> {
  const pieces: AnswerPiece[] = [];
  for await (const piece of answer(generator, model, prompt, {
    ...options,
    stopIds: [],
    stopTexts: options.stop,
  })) {
    pieces.push(piece);
    if (!options.json) process.stdout.write(piece.text);
  }
  return pieces;
}

/** The end of the line, and behind it a line per token where asked for. */
function textEnd(pieces: readonly AnswerPiece[], { logprobs }: GenerateOptions): string {
  const lines = pieces.map(
    ({ id, logprob, text }) => `${logprob.toFixed(6)}\t${id}\t${JSON.stringify(text)}\n`,
  );
  return `\n${logprobs ? lines.join('') : ''}`;
}

function jsonAnswer(
  pieces: readonly AnswerPiece[],
  promptIds: readonly number[],
  { logprobs }: GenerateOptions,
): string {
  return `${JSON.stringify({
    text: pieces.map(({ text }) => text).join(''),
    tokens: pieces.map(({ id }) => id),
    ...(logprobs ? { logprobs: pieces.map(({ logprob }) => logprob) } : {}),
    promptTokens: promptIds.length,
  })}\n`;
}
