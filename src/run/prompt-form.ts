/** How a question is put to the model so that it looks like the rows that it learned from. */
import { alpacaPrompt } from '../data/alpaca.ts';
import type { DataFormat } from '../data/types.ts';

/** As a user's turn of a chat, as plain text, or in Alpaca's frame. */
export type PromptForm = 'chat' | 'plain' | 'alpaca';

/** The form of the prompts in a data set; `chat` says that plain ones are wrapped. */
export function promptForm(format: DataFormat, chat: boolean): PromptForm {
  switch (format) {
    case 'messages':
    case 'sharegpt':
    case 'prompt-completion-messages':
      return 'chat';
    case 'prompt-completion':
      return chat ? 'chat' : 'plain';
    case 'alpaca':
      return chat ? 'chat' : 'alpaca';
    case 'text':
    case 'tokenized':
      return 'plain';
  }
}

/** A question in this form, for `encodePrompt` and `answer`. */
export function putQuestion(question: string, form: PromptForm): { prompt: string; raw: boolean } {
  if (form === 'alpaca')
    return { prompt: alpacaPrompt({ instruction: question, input: '', output: '' }), raw: true };
  return { prompt: question, raw: form === 'plain' };
}
