/** A renderer over a model's own chat template: what the model was trained with, and what the studio trains with. */
import { BadRequestError } from '../../api/errors.ts';
import { ModelInput } from '../../api/model-input.ts';
import type { ApiTokenizer } from '../../api/types.ts';
import type { ChatTemplate } from '../../data/chat-template.ts';
import {
  trainedMessages,
  weighTokens,
  type Renderer,
  type RendererMessage,
  type TextSpan,
} from './renderer.ts';

export interface ChatTemplateOptions {
  tokenizer: ApiTokenizer;
  /** Renders a conversation; with `addGenerationPrompt` it ends with the words that open an answer. */
  template: Pick<ChatTemplate, 'render'>;
  /** The tokens that end an answer, as texts, such as `<|im_end|>`. */
  stopTokens: readonly string[];
  /** Kept as the renderer's name; `chat_template` unless said otherwise. */
  name?: string;
}

const fail = (message: string): never => {
  throw new BadRequestError({
    message,
    fix: 'Train on last_assistant_message, or on one conversation for each answer.',
  });
};

/**
 * The renderer of a template. A turn is what its rendering adds to that of the turns before it, to its end token.
 * Throws BadRequestError for a stop token that is none, and, when a conversation is built, where the template renders
 * earlier turns in another way once later ones follow.
 */
export function chatTemplate({ tokenizer, template, stopTokens, name }: ChatTemplateOptions): Renderer {
  const stopIds = stopTokens.map((text) => {
    const [id, ...more] = tokenizer.encode(text);
    if (id !== undefined && more.length === 0) return id;
    throw new BadRequestError({
      message: `${JSON.stringify(text)} is no single token of this tokenizer, so it cannot end an answer.`,
      fix: "Name the tokens that end an answer in the model's chat template.",
    });
  });

  /** Where answer `turn` stands in the text of the whole conversation. */
  const answerSpan = (messages: readonly RendererMessage[], turn: number, text: string): TextSpan => {
    const before = template.render(messages.slice(0, turn), { addGenerationPrompt: true });
    const after = template.render(messages.slice(0, turn + 1));
    if (!text.startsWith(before) || !text.startsWith(after) || after.length < before.length) {
      return fail(
        `The chat template renders message ${String(turn + 1)} differently once others follow, so it is not known which tokens are the answer's.`,
      );
    }
    const trimmed = after.trimEnd();
    const closed = stopTokens.some((stop) => trimmed.endsWith(stop));
    return { start: before.length, end: closed ? trimmed.length : after.length };
  };

  return {
    name: name ?? 'chat_template',
    buildGenerationPrompt: (messages) =>
      ModelInput.fromInts(tokenizer.encode(template.render(messages, { addGenerationPrompt: true }))),
    buildSupervisedExample: (messages, what = 'all_assistant_messages') => {
      const trained = trainedMessages(messages, what);
      const text = template.render(messages);
      if (what === 'all_tokens') return weighTokens(tokenizer, text, [{ start: 0, end: text.length }]);
      const spans = messages.flatMap(({ role }, turn) => {
        if (trained[turn] !== true) return [];
        if (role === 'assistant') return [answerSpan(messages, turn, text)];
        return fail(
          `A chat template does not tell what of a ${role} message is its text, so ${what} cannot be trained on.`,
        );
      });
      return weighTokens(tokenizer, text, spans);
    },
    getStopSequences: () => [...stopIds],
    parseResponse: (tokens) => {
      const end = tokens.findIndex((token) => stopIds.includes(token));
      const content = tokenizer.decode(end < 0 ? tokens : tokens.slice(0, end)).trim();
      return { message: { role: 'assistant', content }, termination: end < 0 ? 'cut_off' : 'stop' };
    },
  };
}
