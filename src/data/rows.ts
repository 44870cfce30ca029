/** Turns a parsed row into its content, or says why it cannot be used. */
import type { JsonObject, JsonValue } from '../formats/strict-json.ts';
import { detectFormat, FORMAT_NAMES } from './detect-format.ts';
import { hasLoneSurrogate, isObject, shown } from './json.ts';
import { readMessages } from './messages.ts';
import { IGNORED_LABEL, type DataFormat, type RowContent } from './types.ts';

/** A row of the file's format as content, or the reason why it is none. */
export function readContent(value: unknown, format: DataFormat): RowContent | string {
  if (!isObject(value)) return `the row is no object but ${shown(value as JsonValue | undefined)}`;
  const found = detectFormat(value);
  if (found !== format) {
    const columns = Object.keys(value).slice(0, 8).join(', ') || 'none';
    return found === undefined
      ? `the row has not the columns of ${FORMAT_NAMES[format]}; its columns: ${columns}`
      : `the row has another format than the file: ${FORMAT_NAMES[found]}, not ${FORMAT_NAMES[format]}`;
  }
  switch (format) {
    case 'text':
      return strings(value, ['text'], ({ text }) => ({ kind: 'text', text }));
    case 'prompt-completion':
      return strings(value, ['prompt', 'completion'], ({ prompt, completion }) => ({
        kind: 'prompt-completion',
        prompt,
        completion,
      }));
    case 'alpaca':
      return strings(
        { ...value, input: value['input'] ?? '' },
        ['instruction', 'input', 'output'],
        (row) => ({
          kind: 'alpaca',
          ...row,
        }),
      );
    case 'messages':
    case 'sharegpt': {
      const messages = readMessages(
        value[format === 'messages' ? 'messages' : 'conversations'],
        columnOf(format),
      );
      return typeof messages === 'string' ? messages : { kind: 'messages', messages };
    }
    case 'prompt-completion-messages': {
      const prompt = readMessages(value['prompt'], 'prompt');
      if (typeof prompt === 'string') return prompt;
      const completion = readMessages(value['completion'], 'completion');
      return typeof completion === 'string' ? completion : { kind: format, prompt, completion };
    }
    case 'tokenized':
      return readTokens(value);
  }
}

function columnOf(format: 'messages' | 'sharegpt'): string {
  return format === 'messages' ? 'messages' : 'conversations';
}

function strings<K extends string>(
  value: JsonObject,
  columns: readonly K[],
  make: (row: Record<K, string>) => RowContent,
): RowContent | string {
  const row: Partial<Record<K, string>> = {};
  for (const column of columns) {
    const cell = value[column];
    if (typeof cell !== 'string') return `"${column}" is no text but ${shown(cell)}`;
    if (hasLoneSurrogate(cell)) return `"${column}" has half of a surrogate pair, which is no valid text`;
    row[column] = cell;
  }
  if (columns.every((column) => row[column]?.trim() === '')) return 'the row is empty';
  return make(row as Record<K, string>);
}

function readTokens(value: JsonObject): RowContent | string {
  const { input_ids: inputIds, labels, attention_mask: mask } = value;
  if (!isIntegers(inputIds) || inputIds.some((id) => id < 0)) return '"input_ids" is no list of token ids';
  if (!isIntegers(labels)) return '"labels" is no list of token ids';
  if (inputIds.length === 0) return 'the row is empty';
  if (labels.length !== inputIds.length) {
    return `"labels" has ${String(labels.length)} entries, "input_ids" has ${String(inputIds.length)}`;
  }
  const wrong = labels.find((label) => label < 0 && label !== IGNORED_LABEL);
  if (wrong !== undefined) return `a label is ${String(wrong)}; only -100 marks a token that is not trained`;
  if (mask !== undefined && mask !== null && !(Array.isArray(mask) && mask.every((bit) => bit === 1))) {
    return 'the row is padded ("attention_mask" has entries other than 1); leave the padding out';
  }
  return { kind: 'tokenized', inputIds, labels };
}

function isIntegers(value: JsonValue | undefined): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item));
}
