/** Which tokens end an answer. */
import type { ChatTemplate } from '../data/chat-template.ts';
import type { TextTokenizer } from '../data/tokenizer.ts';
import { StudioError } from '../errors.ts';

/**
 * The end token of the tokenizer, those that the model's configs name, and the one that closes an assistant's turn in
 * the chat template.
 */
export function findStopIds(
  tokenizer: TextTokenizer,
  template: ChatTemplate | undefined,
  configured: readonly number[],
): number[] {
  const ids = [tokenizer.eosId, ...configured, template && endOfTurn(tokenizer, template)];
  return [...new Set(ids.filter((id) => id !== undefined))].sort((a, b) => a - b);
}

/** The added token that stands behind an assistant's words, if there is one. */
function endOfTurn(tokenizer: TextTokenizer, template: ChatTemplate): number | undefined {
  const answer = 'the answer';
  let text: string;
  try {
    text = template.render([
      { role: 'user', content: 'the question' },
      { role: 'assistant', content: answer },
    ]);
  } catch (error) {
    // A template that wants other turns: the configured tokens must do.
    if (error instanceof StudioError && error.code === 'TEMPLATE_REFUSED') return undefined;
    throw error;
  }
  const at = text.lastIndexOf(answer);
  if (at < 0) return undefined;
  const after = text.slice(at + answer.length).trimStart();
  const found = tokenizer.addedTokens
    .filter(({ content }) => after.startsWith(content))
    .sort((a, b) => b.content.length - a.content.length);
  return found[0]?.id;
}
