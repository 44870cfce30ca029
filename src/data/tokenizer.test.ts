import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../formats/strict-json.ts';
import {
  embedded,
  loadVariant,
  studioErrorOf,
  tokenizers,
  variantJson,
  type EncodedText,
} from './testing.ts';
import { loadTokenizer, type TextTokenizer } from './tokenizer.ts';

function encodeAll(tokenizer: TextTokenizer, texts: string[]): EncodedText[] {
  return texts.map((text) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    const special = tokenizer.encode(text);
    return {
      ids,
      special: [...special.slice(0, 1), ...special.slice(-1)],
      decoded: tokenizer.decode(ids),
      skipped: tokenizer.decode(ids, { skipSpecialTokens: true }),
    };
  });
}

function idsAndSize(tokenizer: TextTokenizer) {
  const { bosId = null, eosId = null, padId = null, vocabSize: size } = tokenizer;
  return { bosId, eosId, padId, size };
}

describe('loadTokenizer gives the ids and texts of transformers', () => {
  it.each(tokenizers.sets)(
    'with the tokenizer variant $name',
    ({ name, rows, bosId, eosId, padId, size }) => {
      const texts =
        name === 'added-flags' ? [...tokenizers.texts, ...tokenizers.flagTexts] : tokenizers.texts;
      const tokenizer = loadVariant(name);
      const got = encodeAll(tokenizer, texts);
      const wrong = texts.flatMap((text, i) =>
        JSON.stringify(got[i]) === JSON.stringify(rows[i]) ? [] : [{ text, got: got[i], want: rows[i] }],
      );
      expect(wrong).toEqual([]);
      expect(idsAndSize(tokenizer)).toEqual({ bosId, eosId, padId, size });
    },
  );

  it('with the embedded tokenizer', () => {
    const tokenizer = loadTokenizer(embedded);
    const { rows, bosId, eosId, padId, size } = tokenizers.embedded;
    expect(encodeAll(tokenizer, tokenizers.texts)).toEqual(rows);
    expect(idsAndSize(tokenizer)).toEqual({ bosId, eosId, padId, size });
  });
});

describe('a loaded tokenizer', () => {
  const tokenizer = loadVariant('gpt2');

  it('gives the text and the bytes of single tokens', () => {
    const [id = -1] = tokenizer.encode(' the');
    expect(tokenizer.tokenText(id)).toBe(' the');
    const parts = tokenizer.encode('\u{1d4fb}');
    expect(parts.length).toBeGreaterThan(1);
    expect(parts.flatMap((part) => [...tokenizer.tokenBytes(part)])).toEqual([0xf0, 0x9d, 0x93, 0xbb]);
    expect(tokenizer.tokenText(parts.at(-1) ?? -1)).toBe('\ufffd');
  });

  it('knows tokens by their text', () => {
    expect(tokenizer.tokenId('<|im_end|>')).toBe(2);
    expect(tokenizer.tokenId('no such token')).toBeUndefined();
    expect(tokenizer.addedToken(2)?.content).toBe('<|im_end|>');
    expect(tokenizer.addedToken(300)).toBeUndefined();
  });

  it('leaves out ids beyond the vocabulary', () => {
    const ids = tokenizer.encode('on the other');
    expect(tokenizer.decode([9999, ...ids, tokenizer.vocabSize])).toBe('on the other');
    expect(tokenizer.tokenText(9999)).toBe('');
    expect(loadVariant('llama').decode([3 + 0x41, 5000, 3 + 0xff])).toBe('\ufffd\ufffd');
  });

  it("has GPT-2's tokens where the config names none, as GPT-2's own file does", () => {
    const { eosToken, bosId, padId } = loadVariant('gpt2', { model_max_length: 1024 });
    expect({ eosToken, bosId, padId }).toEqual({ eosToken: '<|endoftext|>', bosId: 0, padId: undefined });
  });

  it('reads tokens written as objects, and tokens that only the config lists', () => {
    const config = {
      tokenizer_class: 'PreTrainedTokenizerFast',
      eos_token: { content: '<|im_end|>', lstrip: false },
      added_tokens_decoder: { '1400': { content: '<new>', special: true }, '2': { content: '<|im_end|>' } },
    };
    const loaded = loadVariant('gpt2', config);
    expect([loaded.eosId, loaded.vocabSize, loaded.bosId]).toEqual([2, 1401, undefined]);
    expect(loaded.encode('<new><|im_end|>')).toEqual([1400, 2]);
  });
});

describe('loadTokenizer refuses', () => {
  const load = (tokenizerJson: string | undefined, tokenizerConfig: string | undefined = '{}') =>
    studioErrorOf(() => loadTokenizer({ tokenizerJson, tokenizerConfig })).toFields();

  it('a folder without one of the files', () => {
    expect(load(undefined)).toMatchObject({
      code: 'TOKENIZER_MISSING',
      message: 'The model folder has no tokenizer.json.',
    });
    expect(
      studioErrorOf(() => loadTokenizer({ tokenizerJson: '{}', tokenizerConfig: undefined })).toFields(),
    ).toMatchObject({ code: 'TOKENIZER_MISSING', message: 'The model folder has no tokenizer_config.json.' });
  });

  it.each([
    ['text that is not JSON', '{"model":', 'it is not JSON'],
    ['a list', '[]', 'it holds no JSON object'],
    ['a file without a model', '{}', 'it has no "model"'],
    ['a vocabulary with a negative id', variantWith({ vocab: { a: -1 }, merges: [] }), 'has the id -1'],
    ['merges that are no pairs', variantWith({ vocab: { a: 0 }, merges: [['a']] }), 'a merge is no pair'],
    ['a model that is not BPE', variantWith({ type: 'Unigram' }), 'not supported: Unigram'],
    [
      'an unknown pre-tokenizer',
      variantWithPart({ pre_tokenizer: { type: 'Whitespace' } }),
      'not supported: Whitespace',
    ],
    [
      'an unknown normalizer in a sequence',
      variantWithPart({ normalizer: { type: 'Sequence', normalizers: [{ type: 'Precompiled' }] } }),
      'Precompiled',
    ],
    [
      'a Split that merges',
      variantWithPart({
        pre_tokenizer: { type: 'Split', pattern: { String: 'a' }, behavior: 'MergedWithNext' },
      }),
      'MergedWithNext',
    ],
    ['an unknown decoder', variantWithPart({ decoder: { type: 'WordPiece' } }), 'not supported: WordPiece'],
    [
      'a token that must be a single word',
      variantWithPart({ added_tokens: [{ id: 0, content: 'x', single_word: true }] }),
      'single_word',
    ],
  ])('%s', (_, json, reason) => {
    const { code, message, fix } = load(json);
    expect(code).toBe('TOKENIZER_INVALID');
    expect(message).toContain(reason);
    expect(fix).toMatch(/\.$/);
  });

  it('a config that is no object', () => {
    expect(load(variantJson('byte-bpe', {}), '"x"')).toMatchObject({ code: 'TOKENIZER_INVALID' });
  });
});

function variantWithPart(part: JsonObject): string {
  return variantJson('byte-bpe', part);
}

function variantWith(model: JsonObject): string {
  return JSON.stringify({
    ...(JSON.parse(variantJson('byte-bpe', {})) as JsonObject),
    model: { type: 'BPE', ...model },
  });
}
