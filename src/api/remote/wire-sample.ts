/** Results of sampling in JSON. */
import type { SampleResponse, SampledSequence } from '../types.ts';
import { invalidAnswer } from './answer.ts';
import { numberOrNaN, reader } from './wire-read.ts';

function decodeSequence(value: unknown, what: string): SampledSequence {
  const r = reader(value, what);
  const stopReason = r.optionalText('stop_reason') ?? 'length';
  if (stopReason !== 'stop' && stopReason !== 'length') {
    throw invalidAnswer(what, `has the stop reason ${JSON.stringify(stopReason)}`);
  }
  const tokens = r.list('tokens').map((token) => numberOrNaN(token, what));
  const logprobs = r.optionalList('logprobs')?.map((v) => numberOrNaN(v, what));
  if (logprobs !== undefined && logprobs.length !== tokens.length) {
    throw invalidAnswer(
      what,
      `has ${String(logprobs.length)} log-probabilities for ${String(tokens.length)} tokens`,
    );
  }
  return logprobs === undefined ? { stopReason, tokens } : { stopReason, tokens, logprobs };
}

/** Rows of [token, logprob]; a row of padding, which begins with −99999, is null. */
function decodeTopk(rows: readonly unknown[], what: string): ([number, number][] | null)[] {
  return rows.map((row) => {
    if (row === null) return null;
    if (!Array.isArray(row)) throw invalidAnswer(what, 'has a row of top tokens that is no list');
    const pairs = row.map((pair: unknown): [number, number] => {
      if (!Array.isArray(pair) || pair.length !== 2)
        throw invalidAnswer(what, 'has a top token that is no pair');
      return [numberOrNaN(pair[0], what), numberOrNaN(pair[1], what)];
    });
    return pairs[0]?.[1] === -99999 ? null : pairs.filter(([, logprob]) => logprob !== -99999);
  });
}

export interface DecodedSample {
  response: SampleResponse;
  /** The server left out the entry of the first prompt token, which is put in as null. */
  shifted: boolean;
}

/** Reads a result. `promptLength` tells whether the log-probabilities of the prompt begin with the first token. */
export function decodeSample(body: unknown, promptLength: number | null, what: string): DecodedSample {
  const r = reader(body, what);
  const response: SampleResponse = {
    sequences: r.list('sequences').map((sequence) => decodeSequence(sequence, what)),
    promptCacheHitTokens: r.optionalNumber('prompt_cache_hit_tokens') ?? 0,
  };
  const prompt = r.optionalList('prompt_logprobs')?.map((v) => (v === null ? null : numberOrNaN(v, what)));
  const shifted = prompt !== undefined && promptLength !== null && prompt.length === promptLength - 1;
  if (prompt !== undefined) {
    response.promptLogprobs = shifted ? [null, ...prompt] : prompt;
    if (promptLength !== null && response.promptLogprobs.length !== promptLength) {
      throw invalidAnswer(
        what,
        `has ${String(prompt.length)} log-probabilities for a prompt of ${String(promptLength)} tokens`,
      );
    }
  }
  const topk = r.optionalList('topk_prompt_logprobs');
  if (topk !== undefined) response.topkPromptLogprobs = decodeTopk(topk, what);
  return { response, shifted };
}
