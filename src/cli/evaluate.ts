/** `lorikeet evaluate`: the mean loss per trained token over the rows of a file. */
import { evaluateLoss } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import { prepareData } from '../run/prepare-data.ts';
import { startEvaluation } from '../run/start-evaluation.ts';
import { reportData } from './data-report.ts';
import { withGpu } from './gpu.ts';
import { loadModel } from './load-model.ts';
import type { EvaluateOptions } from './options.ts';
import { createReporter } from './progress.ts';
import { openAdapterAt, openModelAt, readDataFile } from './sources.ts';
import { count, table } from './words.ts';

/** Runs the command. */
export async function evaluate(options: EvaluateOptions): Promise<void> {
  const report = createReporter(options);
  const model = await openModelAt(options.model, report);
  const file = await readDataFile(options.data);
  const data = prepareData(file, model, { ...options, evalSplit: 0, seed: 0 });
  reportData(report, data.summary, null);
  const read = options.adapter === undefined ? null : await openAdapterAt(options.adapter, report);
  await withGpu(options.device, report, async (gpu) => {
    const base = await loadModel(model, gpu, report);
    const session = await startEvaluation(base, data, read?.adapter ?? null);
    const { loss, trainedTokens } = await evaluateLoss(session, data.train, options.adapterScale);
    report.end();
    if (!Number.isFinite(loss)) {
      throw new StudioError({
        code: 'LOSS_NOT_FINITE',
        message: `The loss over ${file.name} is ${loss}.`,
        fix: 'Check the adapter and its scale: with them the model gives no numbers.',
      });
    }
    const perplexity = Math.exp(loss);
    process.stdout.write(
      options.json
        ? `${JSON.stringify({ loss, perplexity, trainedTokens })}\n`
        : table([
            ['Loss', loss.toFixed(6)],
            ['Perplexity', perplexity.toFixed(4)],
            ['Trained tokens', count(trainedTokens)],
            ['Rows', count(data.train.length)],
          ]),
    );
    session.dispose();
    base.dispose();
  });
}
