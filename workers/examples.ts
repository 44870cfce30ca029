/** The example programs in the worker: the very recipes that a program would run, on a service over this browser. */
import { ServiceClient } from '../src/api/service-client.ts';
import { createWarningSink } from '../src/api/warnings.ts';
import { StudioError } from '../src/errors.ts';
import { createLocalBackend } from '../src/local/local-backend.ts';
import { runRlExample } from '../src/recipes/examples/rl-form.ts';
import { runDpoExample } from '../src/recipes/examples/sft-then-dpo.ts';
import type { ExampleAnswer, ExampleEvent, ExampleKind, ExampleOutcome } from './examples-api.ts';
import { createBrowserHost, type BrowserHostOptions } from './local-host.ts';

type Told = (event: ExampleEvent) => void;
type Result = Omit<ExampleOutcome, 'seconds'>;

function pairUp(before: readonly ExampleAnswer[], after: readonly ExampleAnswer[]): Result['answers'] {
  return before.map(({ question, text }) => ({
    question,
    before: text,
    after: after.find((other) => other.question === question)?.text ?? '',
  }));
}

async function reward(
  service: ServiceClient,
  seed: number,
  tell: Told,
  signal: AbortSignal,
): Promise<Result> {
  const result = await runRlExample({
    service,
    seed,
    signal,
    onProgress: (progress) => {
      const { phase, done, total } = progress;
      tell({ type: 'stage', stage: phase === 'train' ? 'training' : 'measuring', done, total });
      if (phase === 'train') tell({ type: 'point', step: progress.iteration, share: progress.meanReward });
    },
  });
  const { rewardBefore, rewardAfter, answersBefore, answersAfter, path } = result;
  return { before: rewardBefore, after: rewardAfter, answers: pairUp(answersBefore, answersAfter), path };
}

async function preference(
  service: ServiceClient,
  seed: number,
  tell: Told,
  signal: AbortSignal,
): Promise<Result> {
  let points = 0;
  const result = await runDpoExample({
    service,
    seed,
    signal,
    onProgress: (progress) => {
      const { phase, done, total } = progress;
      tell({ type: 'stage', stage: phase === 'measure' ? 'measuring' : 'training', done, total });
      if (phase === 'dpo' && progress.accuracy !== undefined)
        tell({ type: 'point', step: (points += 1), share: progress.accuracy });
    },
  });
  const { likedShare, answersSft, answersDpo, path } = result;
  return { before: likedShare.sft, after: likedShare.dpo, answers: pairUp(answersSft, answersDpo), path };
}

/** Runs one of them. Throws CANCELLED where the signal ended it. */
export async function runExample(
  kind: ExampleKind,
  seed: number,
  tell: Told,
  signal: AbortSignal,
  parts: Required<Pick<BrowserHostOptions, 'gpu' | 'store'>>,
): Promise<ExampleOutcome> {
  const started = performance.now();
  tell({ type: 'stage', stage: 'loading', done: 0, total: 0 });
  const warnings = createWarningSink(() => undefined);
  const backend = createLocalBackend({ host: createBrowserHost(parts), userMetadata: null, warnings });
  const service = new ServiceClient({ backend });
  try {
    const run = kind === 'reward' ? reward : preference;
    const result = await run(service, seed, tell, signal);
    return { ...result, seconds: (performance.now() - started) / 1000 };
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new StudioError({
      code: 'CANCELLED',
      message: 'The example was ended before its last step.',
      fix: 'Start it again.',
    });
  } finally {
    await service.close();
  }
}
