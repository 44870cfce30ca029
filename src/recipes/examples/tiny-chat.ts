/** The embedded model's form of conversations, for the examples: ChatML, as its chat template writes it. */
import type { ApiTokenizer } from '../../api/types.ts';
import { chatTemplate } from '../renderers/chat-template.ts';
import type { Renderer } from '../renderers/renderer.ts';

const STOP = '<|im_end|>';

/** A renderer for the embedded model. */
export function tinyChat(tokenizer: ApiTokenizer): Renderer {
  return chatTemplate({
    name: 'chatml',
    tokenizer,
    stopTokens: [STOP],
    template: {
      render: (messages, { addGenerationPrompt = false } = {}) => {
        const turns = messages.map(({ role, content }) => `<|im_start|>${role}\n${content ?? ''}${STOP}\n`);
        return turns.join('') + (addGenerationPrompt ? '<|im_start|>assistant\n' : '');
      },
    },
  });
}
