/** One row of a data set as token ids, with the tokens that are trained. */
import { StudioError } from '../errors.ts';
import { alpacaPrompt, alpacaQuestion } from './alpaca.ts';
import { assistantSpans } from './assistant-spans.ts';
import type { ChatTemplate } from './chat-template.ts';
import { tokensInSpans } from './token-spans.ts';
import type { TextTokenizer } from './tokenizer.ts';
import { IGNORED_LABEL, type ChatMessage, type RowContent, type TokenizedExample } from './types.ts';

/** What is trained: completions and the assistant's turns, or every token. */
export type TrainOn = 'completion' | 'all';

export interface RowEncoder {
  tokenizer: TextTokenizer;
  /** The model's chat template; undefined when the model has none. */
  template: ChatTemplate | undefined;
  trainOn: TrainOn;
  /** Make conversations of prompts with completions and of Alpaca rows. */
  chat: boolean;
}

export interface EncodedRow extends TokenizedExample {
  /** A token runs across the border of prompt and completion; it counts as prompt, as in TRL. */
  mergedBoundary: boolean;
}

/** Encodes a row, whole; gives the reason instead when its trained tokens cannot be known. */
export function encodeRow(content: RowContent, encoder: RowEncoder): EncodedRow | string {
  switch (content.kind) {
    case 'text': {
      const ids = encoder.tokenizer.encode(closed(content.text, encoder.tokenizer));
      return { inputIds: ids, labels: [...ids], mergedBoundary: false };
    }
    case 'prompt-completion':
      return encoder.chat
        ? encodeChat(question(content.prompt, content.completion), 0, encoder)
        : encodeCompletion(content.prompt, content.completion, encoder);
    case 'alpaca':
      return encoder.chat
        ? encodeChat(question(alpacaQuestion(content), content.output), 0, encoder)
        : encodeCompletion(alpacaPrompt(content), content.output, encoder);
    case 'messages':
      return encodeChat(content.messages, 0, encoder);
    case 'prompt-completion-messages':
      return encodeChat([...content.prompt, ...content.completion], content.prompt.length, encoder);
    case 'tokenized':
      return { inputIds: [...content.inputIds], labels: [...content.labels], mergedBoundary: false };
  }
}

/**
 * Prompt and completion joined without anything between them, with the end token after the completion: as TRL's
 * SFTTrainer does. The prompt's tokens are as many as it has when it is encoded alone.
 */
function encodeCompletion(
  prompt: string,
  completion: string,
  { tokenizer, trainOn }: RowEncoder,
): EncodedRow {
  const promptIds = tokenizer.encode(prompt);
  const inputIds = tokenizer.encode(prompt + closed(completion, tokenizer));
  const labels = inputIds.map((id, i) => (trainOn === 'all' || i >= promptIds.length ? id : IGNORED_LABEL));
  return { inputIds, labels, mergedBoundary: promptIds.some((id, i) => id !== inputIds[i]) };
}

function encodeChat(
  messages: readonly ChatMessage[],
  from: number,
  encoder: RowEncoder,
): EncodedRow | string {
  const { tokenizer, trainOn, template } = encoder;
  if (template === undefined) {
    throw new StudioError({
      code: 'TEMPLATE_MISSING',
      message: 'The model has no chat template, and the data holds conversations.',
      fix: 'Choose a model with a chat template, or data that is plain text or prompts with completions.',
    });
  }
  try {
    if (trainOn === 'all') {
      const inputIds = tokenizer.encode(template.render(messages), { addSpecialTokens: false });
      return { inputIds, labels: [...inputIds], mergedBoundary: false };
    }
    const added = tokenizer.addedTokens.map((token) => token.content);
    const found = assistantSpans(template, messages, added, from);
    if ('reason' in found) return found.reason;
    const inputIds = tokenizer.encode(found.text, { addSpecialTokens: false });
    const trained = tokensInSpans(tokenizer, found.text, inputIds, found.spans);
    if (trained === undefined) {
      return 'the tokenizer changes the text of this conversation, so it is not known which tokens are the assistant’s';
    }
    const labels = inputIds.map((id, i) => (trained[i] === true ? id : IGNORED_LABEL));
    return { inputIds, labels, mergedBoundary: false };
  } catch (error) {
    // The template rejects this conversation; others may suit it.
    if (error instanceof StudioError && ['TEMPLATE_REFUSED', 'DATA_INVALID'].includes(error.code))
      return error.message;
    throw error;
  }
}

function question(user: string, assistant: string): ChatMessage[] {
  return [
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ];
}

/** The text with the end token after it, once. */
function closed(text: string, { eosToken }: TextTokenizer): string {
  if (eosToken === undefined) {
    throw new StudioError({
      code: 'TOKENIZER_INVALID',
      message: 'The tokenizer names no end token (eos_token), and text rows end with it.',
      fix: 'Add "eos_token" to tokenizer_config.json, or use data with conversations.',
    });
  }
  return text.endsWith(eosToken) ? text : text + eosToken;
}
