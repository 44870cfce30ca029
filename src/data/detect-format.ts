/** Which of the known formats a row has, by its columns. */
import { isObject } from './json.ts';
import type { DataFormat } from './types.ts';

/** The formats in words for people. */
export const FORMAT_NAMES: Record<DataFormat, string> = {
  text: 'plain text (text)',
  messages: 'conversations (messages)',
  'prompt-completion': 'prompts with completions (prompt, completion)',
  'prompt-completion-messages': 'prompts with completions as conversations (prompt, completion)',
  alpaca: 'Alpaca instructions (instruction, input, output)',
  sharegpt: 'ShareGPT conversations (conversations)',
  tokenized: 'token ids (input_ids, labels)',
};

/** The columns that each format uses. */
export const FORMAT_FIELDS: Record<DataFormat, readonly string[]> = {
  text: ['text'],
  messages: ['messages'],
  'prompt-completion': ['prompt', 'completion'],
  'prompt-completion-messages': ['prompt', 'completion'],
  alpaca: ['instruction', 'input', 'output'],
  sharegpt: ['conversations'],
  tokenized: ['input_ids', 'labels', 'attention_mask'],
};

/** The format of one row; undefined when it has the columns of none. A `text` column beside others is a rendering of them. */
export function detectFormat(value: unknown): DataFormat | undefined {
  if (!isObject(value)) return undefined;
  const has = (...names: string[]): boolean => names.every((name) => (value[name] ?? null) !== null);
  if (has('input_ids')) return 'tokenized';
  if (has('messages')) return 'messages';
  if (has('conversations')) return 'sharegpt';
  if (has('prompt', 'completion')) {
    const lists = Array.isArray(value['prompt']) || Array.isArray(value['completion']);
    return lists ? 'prompt-completion-messages' : 'prompt-completion';
  }
  if (has('instruction', 'output')) return 'alpaca';
  if (has('text')) return 'text';
  return undefined;
}

/** The format that most rows have; of equal ones the first. */
export function mostFrequent(formats: Iterable<DataFormat | undefined>): DataFormat | undefined {
  const counts = new Map<DataFormat, number>();
  for (const format of formats) if (format !== undefined) counts.set(format, (counts.get(format) ?? 0) + 1);
  let best: DataFormat | undefined;
  for (const [format, count] of counts)
    if (best === undefined || count > (counts.get(best) ?? 0)) best = format;
  return best;
}
