/** The answer to a prompt, as text that streams token by token. */
import { createStreamDecoder } from '../data/stream-decoder.ts';
import type { Generator, GenerateOptions } from '../engine/index.ts';
import { encodePrompt, type Prompt } from './encode-prompt.ts';
import type { OpenModel } from './open-model.ts';
import { StopTexts, type AnswerPiece } from './stop-texts.ts';

export interface AnswerOptions extends GenerateOptions {
  /** The answer ends before the first of these. */
  stopTexts: readonly string[];
  /** Take a text prompt as it is, without a chat template. */
  raw?: boolean;
}

/**
 * Generates an answer; the model's own end tokens end it as well. A token comes out once its text is known to be part
 * of the answer: the pieces joined are the answer.
 */
export async function* answer(
  generator: Generator,
  model: OpenModel,
  prompt: Prompt,
  options: AnswerOptions,
  signal?: AbortSignal,
): AsyncGenerator<AnswerPiece, void, undefined> {
  const ids = encodePrompt(model, prompt, options.raw);
  const stopIds = [...new Set([...options.stopIds, ...model.stopIds])];
  const decoder = createStreamDecoder(model.tokenizer, { skipSpecialTokens: true });
  const held = new StopTexts(options.stopTexts);
  for await (const { id, logprob } of generator.generate(ids, { ...options, stopIds }, signal)) {
    yield* held.push({ id, logprob, text: decoder.push(id) });
    if (held.stopped) return;
  }
  yield* held.finish(decoder.flush());
}
