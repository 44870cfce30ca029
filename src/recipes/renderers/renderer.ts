/** What a renderer is: conversations to token rows and answers back, in the form that a model was trained with. */
import { BadRequestError } from '../../api/errors.ts';
import { ModelInput } from '../../api/model-input.ts';
import type { ApiTokenizer } from '../../api/types.ts';
import type { ChatMessage } from '../../data/types.ts';
import type { SupervisedExample } from '../datum.ts';

export const TRAIN_ON = [
  'last_assistant_message',
  'last_assistant_turn',
  'all_assistant_messages',
  'all_messages',
  'all_user_and_system_messages',
  'all_tokens',
  'customized',
] as const;
/** `last_assistant_turn` is all that the assistant says after the last user message. */
export type TrainOnWhat = (typeof TRAIN_ON)[number];

export interface RendererMessage extends ChatMessage {
  /** For `customized`: whether this message is trained. */
  trainable?: boolean;
}

export interface ParsedResponse {
  message: { role: 'assistant'; content: string };
  /** Whether the answer came to its end, or was cut off before. */
  termination: 'stop' | 'cut_off';
}

export interface Renderer {
  /** Kept in a run's metadata as `renderer_name`. */
  readonly name: string;
  /** The conversation with the words that open the assistant's answer. */
  buildGenerationPrompt(messages: readonly RendererMessage[]): ModelInput;
  /** A whole conversation with a weight for each token; `all_assistant_messages` unless said otherwise. */
  buildSupervisedExample(messages: readonly RendererMessage[], trainOnWhat?: TrainOnWhat): SupervisedExample;
  /** What ends an answer, for `samplingParams.stop`. */
  getStopSequences(): string[] | number[];
  /** An answer's tokens as a message. */
  parseResponse(tokens: readonly number[]): ParsedResponse;
}

/** Whether each message is trained. Throws BadRequestError for an unknown choice, and for one that trains nothing. */
export function trainedMessages(messages: readonly RendererMessage[], what: TrainOnWhat): boolean[] {
  const lastUser = messages.findLastIndex(({ role }) => role === 'user');
  const lastAssistant = messages.findLastIndex(({ role }) => role === 'assistant');
  const trained = messages.map(({ role, trainable }, i): boolean => {
    switch (what) {
      case 'last_assistant_message':
        return i === lastAssistant;
      case 'last_assistant_turn':
        return role === 'assistant' && i > lastUser;
      case 'all_assistant_messages':
        return role === 'assistant';
      case 'all_user_and_system_messages':
        return role === 'user' || role === 'system';
      case 'all_messages':
      case 'all_tokens':
        return true;
      case 'customized':
        return trainable === true;
      default:
        throw new BadRequestError({
          message: `There is no choice ${JSON.stringify(what satisfies never)} of what to train on.`,
          fix: `Use one of ${TRAIN_ON.join(', ')}.`,
        });
    }
  });
  if (trained.includes(true)) return trained;
  throw new BadRequestError({
    message: `A conversation of ${String(messages.length)} messages has nothing to train on by ${what}.`,
  });
}

/** Characters of a text, from start to before end. */
export interface TextSpan {
  start: number;
  end: number;
}

/**
 * The tokens of a text, with weight 1 on those of the spans. Throws BadRequestError where a token runs across the border
 * of a span: then an answer would be trained with other tokens than it is sampled with.
 */
export function weighTokens(
  tokenizer: ApiTokenizer,
  text: string,
  spans: readonly TextSpan[],
): SupervisedExample {
  const tokens = tokenizer.encode(text);
  const indexOf = (border: number): number => {
    const before = tokenizer.encode(text.slice(0, border));
    if (before.every((token, i) => token === tokens[i])) return before.length;
    throw new BadRequestError({
      message: `A token runs across the border of a turn, behind ${JSON.stringify(text.slice(Math.max(0, border - 20), border))}.`,
      fix: 'Use the chat template that belongs to the tokenizer.',
    });
  };
  const weights = new Float32Array(tokens.length);
  for (const { start, end } of spans) weights.fill(1, indexOf(start), indexOf(end));
  return { modelInput: ModelInput.fromInts(tokens), weights };
}

/** The text of a message. Throws BadRequestError for one without, such as a tool call. */
export function contentOf({ role, content }: RendererMessage, renderer: string): string {
  if (content !== null) return content;
  throw new BadRequestError({
    message: `The ${role} message has no text, which ${renderer} needs.`,
    fix: "Use the model's own chat template.",
  });
}
