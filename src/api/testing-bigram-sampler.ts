/** The sampler of the tests' backend. */
import type { BackendSampler, SamplerSource } from './backend.ts';
import type { ParsedCheckpointPath } from './paths.ts';
import { freshState, rowLogprobs, uniform, VOCAB } from './testing-bigram-model.ts';
import type { Stored } from './testing-memory-registry.ts';
import type { SampledSequence } from './types.ts';

export function makeSampler(
  source: SamplerSource,
  find: (path: ParsedCheckpointPath) => Stored,
  nextRequest: () => number,
): BackendSampler {
  const weightsOf = (path: ParsedCheckpointPath) => ({ table: find(path).state.table, snapshot: path.path });
  const parse = (path: string): ParsedCheckpointPath => {
    const [, , runId = '', , name = ''] = path.split('/');
    return {
      path,
      scheme: 'lorikeet',
      runId,
      checkpointType: 'sampler',
      name,
      checkpointId: '',
      kindAssumed: false,
      alias: null,
    };
  };
  let weights: { table: Float64Array; snapshot: string | null } =
    'modelPath' in source
      ? weightsOf(source.modelPath)
      : 'samplerId' in source
        ? weightsOf(parse(source.samplerId))
        : { table: freshState(0).table.map(() => 0), snapshot: null };
  return {
    baseModel: 'bigram',
    stream: null,
    get snapshot() {
      return weights.snapshot;
    },
    sample: (request) => {
      const { table, snapshot } = weights;
      const prompt = request.prompt.flatMap((chunk) => (chunk.type === 'encoded_text' ? chunk.tokens : []));
      const sequences = Array.from({ length: request.numSamples }, (_, i): SampledSequence => {
        const tokens: number[] = [];
        const logprobs: number[] = [];
        let last = prompt.at(-1) ?? 0;
        while (tokens.length < (request.params.maxTokens ?? 8)) {
          const row = rowLogprobs(table, last);
          let rest = uniform(request.params.seed ?? 0, i, tokens.length);
          let token =
            request.params.temperature === 0
              ? row.indexOf(Math.max(...row))
              : row.findIndex((logp) => (rest -= Math.exp(logp)) <= 0);
          if (token < 0) token = VOCAB - 1;
          tokens.push(token);
          logprobs.push(row[token] ?? NaN);
          last = token;
          const { stop } = request.params;
          if (stop !== null && 'tokens' in stop && stop.tokens.includes(token))
            return { stopReason: 'stop', tokens, logprobs };
        }
        return { stopReason: 'length', tokens, logprobs };
      });
      const response = {
        sequences,
        promptCacheHitTokens: 0,
        ...(snapshot === null ? {} : { snapshot }),
        ...(request.promptLogprobs
          ? {
              promptLogprobs: prompt.map((token, i) =>
                i === 0 ? null : (rowLogprobs(table, prompt[i - 1] ?? 0)[token] ?? null),
              ),
            }
          : {}),
      };
      return Promise.resolve({
        requestId: `local-${String(nextRequest())}`,
        result: Promise.resolve(response),
      });
    },
    hotLoad: (path) => {
      try {
        weights = weightsOf(path);
        return Promise.resolve();
      } catch (error) {
        return Promise.reject(error as Error);
      }
    },
    tokenizer: () => Promise.resolve(null),
    handle: () =>
      Promise.resolve({
        kind: 'lorikeet-sampler',
        modelPath: weights.snapshot,
        baseModel: 'bigram',
        samplerId: null,
      }),
    close: () => Promise.resolve(),
  };
}
