/** Caps on data files. */
export interface DataLimits {
  /** Bytes of a file. A string in V8 holds at most 512 Mi characters, and the rows are held besides. */
  fileBytes: number;
  /** Characters of one row as it stands in the file. */
  rowCharacters: number;
  rows: number;
}

export const DATA_LIMITS: DataLimits = {
  fileBytes: 256 * 1024 * 1024,
  rowCharacters: 1_000_000,
  rows: 2_000_000,
};

/** One record of a file, parsed or not. */
export type RawRow = { line: number; value: unknown } | { line: number; problem: string };

/** The problem of a row that is too long, if it is. */
export function lengthProblem(characters: number, limits: DataLimits): string | undefined {
  return characters > limits.rowCharacters
    ? `the row has ${characters.toLocaleString('en')} characters, more than ${limits.rowCharacters.toLocaleString('en')}`
    : undefined;
}
