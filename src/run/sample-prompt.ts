/** A prompt out of the data: asked before and after training, it shows what changed. */
import { alpacaQuestion } from '../data/alpaca.ts';
import { IGNORED_LABEL, type ChatMessage, type Dataset, type RowContent } from '../data/types.ts';
import type { OpenModel } from './open-model.ts';

/** Words of a plain text that are given; the model goes on from them. */
const OPENING_WORDS = 8;
/** A prompt is shown in one place on the page; more of it helps nobody. */
const MAX_CHARACTERS = 500;

/** The question of the first row that has one; empty when none has. */
export function samplePrompt(dataset: Dataset, model: OpenModel): string {
  for (const { content } of dataset.rows) {
    const prompt = promptOf(content, model).trim();
    if (prompt !== '') return Array.from(prompt).slice(0, MAX_CHARACTERS).join('');
  }
  return '';
}

function promptOf(content: RowContent, { tokenizer }: OpenModel): string {
  switch (content.kind) {
    case 'text':
      return content.text.trim().split(/\s+/).slice(0, OPENING_WORDS).join(' ');
    case 'messages':
      return firstQuestion(content.messages);
    case 'prompt-completion':
      return content.prompt;
    case 'prompt-completion-messages':
      return firstQuestion(content.prompt);
    case 'alpaca':
      return alpacaQuestion(content);
    case 'tokenized': {
      const { inputIds, labels } = content;
      const trained = labels.findIndex((label, index) => index > 0 && label !== IGNORED_LABEL);
      return tokenizer.decode(inputIds.slice(0, Math.max(1, trained)), { skipSpecialTokens: true });
    }
  }
}

function firstQuestion(messages: readonly ChatMessage[]): string {
  return messages.find(({ role }) => role === 'user')?.content ?? '';
}
