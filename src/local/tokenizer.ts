/** The model's own tokenizer, as the interface hands it out. */
import type { ApiTokenizer } from '../api/types.ts';
import type { TextTokenizer } from '../data/tokenizer.ts';

export const apiTokenizer = (tokenizer: TextTokenizer): ApiTokenizer => ({
  encode: (text) => tokenizer.encode(text, { addSpecialTokens: false }),
  decode: (tokens) => tokenizer.decode([...tokens]),
});
