/** Model inputs: what a sequence is made of. They are plain values; these functions build and read them. */
import { BadRequestError } from './errors.ts';
import type { Chunk } from './types.ts';

export interface ModelInput {
  readonly chunks: readonly Chunk[];
}

/** Token ids are int32 on the protobuf wire. */
export const MAX_TOKEN_ID = 2 ** 31 - 1;

/** Throws BadRequestError where a value is no token id. */
export function checkTokens(tokens: ArrayLike<number>, what: string): void {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (Number.isInteger(token) && token !== undefined && token >= 0 && token <= MAX_TOKEN_ID) continue;
    throw new BadRequestError({
      message: `${what} has ${String(token)} at position ${String(i)}; token ids are whole numbers from 0 to 2147483647.`,
    });
  }
}

/** How many positions a chunk takes, or null where only the server knows. */
function chunkLength(chunk: Chunk): number | null {
  switch (chunk.type) {
    case 'encoded_text':
      return chunk.tokens.length;
    case 'image':
    case 'image_asset_pointer':
      return chunk.expectedTokens ?? null;
    case 'dmel':
      return null;
    default:
      throw new BadRequestError({
        message: `There is no chunk type ${JSON.stringify(chunk satisfies never)}.`,
      });
  }
}

const fromInts = (tokens: readonly number[]): ModelInput => {
  checkTokens(tokens, 'The model input');
  return { chunks: [{ type: 'encoded_text', tokens: [...tokens] }] };
};

const toInts = (input: ModelInput): number[] =>
  input.chunks.flatMap((chunk) => {
    if (chunk.type === 'encoded_text') return chunk.tokens;
    throw new BadRequestError({ message: `A chunk of type ${chunk.type} has no token ids.` });
  });

const length = (input: ModelInput): number | null => {
  let total = 0;
  for (const chunk of input.chunks) {
    const positions = chunkLength(chunk);
    if (positions === null) return null;
    total += positions;
  }
  return total;
};

/** Builds and reads model inputs. */
export const ModelInput = {
  /** A text as token ids. Throws BadRequestError for values that are none. */
  fromInts,
  /** The token ids of all chunks. Throws BadRequestError where a chunk is no text. */
  toInts,
  /** Positions in all; null where an image's size is not known here. */
  length,
  empty: (): ModelInput => ({ chunks: [] }),
  append: (input: ModelInput, chunk: Chunk): ModelInput => ({ chunks: [...input.chunks, chunk] }),
  /** One more token, in the last text chunk where there is one. */
  appendInt: (input: ModelInput, token: number): ModelInput => {
    checkTokens([token], 'The appended token');
    const last = input.chunks.at(-1);
    if (last?.type !== 'encoded_text')
      return { chunks: [...input.chunks, { type: 'encoded_text', tokens: [token] }] };
    return {
      chunks: [...input.chunks.slice(0, -1), { type: 'encoded_text', tokens: [...last.tokens, token] }],
    };
  },
} as const;
