/** What the data folder reads, and what it hands to the training loop. */
import type { JsonObject } from '../formats/strict-json.ts';

/** One training row as token ids. `labels[i]` is `inputIds[i]` where that token is trained, else -100 (transformers' alignment: the model shifts). */
export interface TokenizedExample {
  inputIds: number[];
  labels: number[];
}

/** The label of a token that is not trained, as in transformers. */
export const IGNORED_LABEL = -100;

/** A row that could not be used, with the place and the reason. */
export interface RejectedRow {
  /** 1-based line in the file (for JSON arrays and CSV: the line on which the record starts). */
  line: number;
  reason: string;
}

/** The formats that are detected, by the names shown to the user. */
export type DataFormat =
  | 'text'
  | 'messages'
  | 'prompt-completion'
  | 'prompt-completion-messages'
  | 'alpaca'
  | 'sharegpt'
  | 'tokenized';

/** One turn of a conversation, as chat templates take it. */
export interface ChatMessage {
  role: string;
  /** The text; null where the turn has none (a tool call), and the template then sees no content at all. */
  content: string | null;
  /** Further fields, handed to the template as they are: `reasoning_content`, `tool_calls`, `name`, ... */
  extra?: JsonObject;
}

/** The content of a row, by the kind of its format; ShareGPT rows become `messages` here. */
export type RowContent =
  | { kind: 'text'; text: string }
  | { kind: 'messages'; messages: ChatMessage[] }
  | { kind: 'prompt-completion'; prompt: string; completion: string }
  | { kind: 'prompt-completion-messages'; prompt: ChatMessage[]; completion: ChatMessage[] }
  | { kind: 'alpaca'; instruction: string; input: string; output: string }
  | { kind: 'tokenized'; inputIds: number[]; labels: number[] };

export interface DataRow {
  /** As in RejectedRow. */
  line: number;
  content: RowContent;
}

/** A data file that was read: its usable rows in file order, and the others with their reasons. */
export interface Dataset {
  format: DataFormat;
  /** The format in words for people. */
  formatName: string;
  rows: DataRow[];
  rejected: RejectedRow[];
  /** Rows whose content an earlier row already had. They are kept. */
  duplicates: number;
  /** Columns that the format does not use, by name. */
  ignoredFields: string[];
}
