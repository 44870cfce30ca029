/** The plainest form, for models without a chat template: `User: …`, blank line, `Assistant: …`, blank line, `User:`. */
import { BadRequestError } from '../../api/errors.ts';
import { ModelInput } from '../../api/model-input.ts';
import type { ApiTokenizer } from '../../api/types.ts';
import {
  contentOf,
  trainedMessages,
  weighTokens,
  type Renderer,
  type RendererMessage,
  type TextSpan,
} from './renderer.ts';

const STOP = '\n\nUser:';

const titled = (role: string): string => `${role.charAt(0).toUpperCase()}${role.slice(1)}:`;

/** The text, and what of it is said in each message. The words that end an answer belong to it: they are learned with it. */
function lay(messages: readonly RendererMessage[]): { text: string; said: TextSpan[] } {
  let text = '';
  const said = messages.map((message, i): TextSpan => {
    // An answer ends with the words that open the user's next turn.
    const opened = messages[i - 1]?.role === 'assistant';
    if (opened && message.role !== 'user') {
      throw new BadRequestError({
        message: `A ${message.role} message follows the assistant's; with role_colon the user speaks next.`,
        fix: 'Join the messages, or use a chat template.',
      });
    }
    if (!opened) text += titled(message.role);
    const start = text.length;
    text += ` ${contentOf(message, 'role_colon').trim()}`;
    text += message.role === 'assistant' ? STOP : '\n\n';
    // The blank line after other turns is not theirs.
    return { start, end: message.role === 'assistant' ? text.length : text.length - 2 };
  });
  return { text, said };
}

/** A renderer for any tokenizer. `bosToken` goes in front of everything, where the model wants one. */
export function roleColon(tokenizer: ApiTokenizer, options: { bosToken?: string } = {}): Renderer {
  const { bosToken = '' } = options;
  return {
    name: 'role_colon',
    buildGenerationPrompt: (messages) => {
      const { text } = lay(messages);
      return ModelInput.fromInts(tokenizer.encode(`${bosToken}${text}Assistant:`));
    },
    buildSupervisedExample: (messages, what = 'all_assistant_messages') => {
      const trained = trainedMessages(messages, what);
      const laid = lay(messages);
      const text = bosToken + laid.text;
      const spans =
        what === 'all_tokens'
          ? [{ start: 0, end: text.length }]
          : laid.said
              .filter((_, i) => trained[i] === true)
              .map(({ start, end }) => ({ start: start + bosToken.length, end: end + bosToken.length }));
      return weighTokens(tokenizer, text, spans);
    },
    getStopSequences: () => [STOP],
    parseResponse: (tokens) => {
      const text = tokenizer.decode(tokens);
      const end = text.indexOf(STOP);
      const content = (end < 0 ? text : text.slice(0, end)).trim();
      return { message: { role: 'assistant', content }, termination: end < 0 ? 'cut_off' : 'stop' };
    },
  };
}
