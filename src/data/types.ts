/** What the data folder hands to the training loop. */

/** One training row as token ids. `labels[i]` is `inputIds[i]` where that token is trained, else -100 (transformers' alignment: the model shifts). */
export interface TokenizedExample {
  inputIds: number[];
  labels: number[];
}

/** A row that could not be used, with the place and the reason. */
export interface RejectedRow {
  /** 1-based line in the file (for JSON arrays and CSV: of the record's first line where known, else the record's number). */
  line: number;
  reason: string;
}

/** The formats that are detected, by the names shown to the user. */
export type DataFormat =
  'text' | 'messages' | 'prompt-completion' | 'prompt-completion-messages' | 'alpaca' | 'sharegpt' | 'tokenized';
