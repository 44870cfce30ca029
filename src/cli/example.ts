/** `lorikeet example rl` and `lorikeet example dpo`: training programs on the embedded model, on this machine's GPU. */
import { ServiceClient } from '../api/service-client.ts';
import { createWarningSink } from '../api/warnings.ts';
import { createLocalBackend } from '../local/local-backend.ts';
import type { ExampleOptions } from '../recipes/examples/example.ts';
import { runRlExample } from '../recipes/examples/rl-form.ts';
import { runDpoExample } from '../recipes/examples/sft-then-dpo.ts';
import { StudioError } from '../errors.ts';
import { onInterrupt } from './interrupt.ts';
import { createNodeHost } from './node-host.ts';
import type {
  DpoExampleCommandOptions,
  ExampleCommands,
  RlExampleCommandOptions,
} from './program-example.ts';
import { createReporter, type Reporter } from './progress.ts';
import { duration, table } from './words.ts';

interface Measured {
  gpu: string;
  seconds: number;
}

type Shared = Pick<RlExampleCommandOptions, 'device' | 'store' | 'quiet' | 'seed'>;

/** Runs an example on a service of its own, until it is done or Ctrl-C is pressed. */
async function withService<P, R>(
  options: Shared,
  work: (example: Omit<ExampleOptions<P>, 'onProgress'>, report: Reporter) => Promise<R>,
): Promise<R & Measured> {
  const report = createReporter(options);
  const host = createNodeHost({ device: options.device, store: options.store, report });
  const warnings = createWarningSink(({ message }) => {
    report.note(`Warning: ${message}`);
  });
  const service = new ServiceClient({ backend: createLocalBackend({ host, userMetadata: null, warnings }) });
  const interrupt = onInterrupt(() => {
    report.note('Stopping after this step. Press Ctrl-C again to end at once.');
  });
  const start = performance.now();
  try {
    const gpu = (await host.gpu()).info.name;
    const result = await work({ service, seed: options.seed, signal: interrupt.signal }, report);
    report.end();
    return { ...result, gpu, seconds: (performance.now() - start) / 1000 };
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new StudioError({
      code: 'CANCELLED',
      message: 'The example was stopped before its end.',
      fix: 'Run it again: the same seed gives the same run.',
    });
  } finally {
    interrupt.release();
    await service.close();
  }
}

const figure = (value: number): string => value.toFixed(3);

function print(json: boolean, result: object, rows: readonly (readonly [string, string])[]): void {
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : table(rows));
}

async function rl(options: RlExampleCommandOptions): Promise<void> {
  const result = await withService(options, (example, report) =>
    runRlExample({
      ...example,
      iterations: options.iterations,
      onProgress: ({ phase, done, total, meanReward }) => {
        report.progress(
          phase === 'train' ? 'Training' : 'Measuring',
          done,
          total,
          `reward ${figure(meanReward)}`,
        );
      },
    }),
  );
  print(options.json, result, [
    ['Reward before', figure(result.rewardBefore)],
    ['Reward after', figure(result.rewardAfter)],
    ...result.answersBefore.slice(0, 1).map(({ text }): [string, string] => ['A start before', text]),
    ...result.answersAfter.slice(0, 1).map(({ text }): [string, string] => ['A start after', text]),
    ['Iterations', String(result.steps.length)],
    ['Time', duration(result.seconds)],
    ['Checkpoint', result.path ?? 'none'],
  ]);
}

async function dpo(options: DpoExampleCommandOptions): Promise<void> {
  const result = await withService(options, (example, report) =>
    runDpoExample({
      ...example,
      sftEpochs: options.sftEpochs,
      dpoEpochs: options.epochs,
      onProgress: (progress) => {
        const { phase, done, total } = progress;
        const detail =
          phase === 'measure' ? `liked ${figure(progress.likedShare)}` : `loss ${figure(progress.loss)}`;
        const label = { measure: 'Measuring', sft: 'Fine-tuning', dpo: 'Preferring' }[phase];
        report.progress(label, done, total, detail);
      },
    }),
  );
  const { likedShare, before, after } = result;
  print(options.json, result, [
    [
      'Answers as liked',
      `${figure(likedShare.base)} at first, ${figure(likedShare.sft)} after SFT, ${figure(likedShare.dpo)} after DPO`,
    ],
    ['Preference accuracy', `${figure(before.accuracy)} before DPO, ${figure(after.accuracy)} after`],
    ['Margin', `${figure(before.margin)} before DPO, ${figure(after.margin)} after`],
    ['Time', duration(result.seconds)],
    ['Checkpoint', result.path ?? 'none'],
  ]);
}

export const exampleCommands: ExampleCommands = { rl, dpo };
