/** `lorikeet verify-resume`: the proof that a resumed run is the run, on this GPU with this model and these data. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { version } from '../../package.json';
import { proveResume, type ResumeProof } from '../checkpoints/verify-resume.ts';
import { StudioError } from '../errors.ts';
import { prepareData } from '../run/prepare-data.ts';
import { reportData } from './data-report.ts';
import { readData } from './finetune-start.ts';
import { withGpu } from './gpu.ts';
import { openStore } from './keeping.ts';
import { loadModel } from './load-model.ts';
import type { VerifyResumeOptions } from './options.ts';
import { createReporter } from './progress.ts';
import { openModelAt } from './sources.ts';
import { preparationOf, trainingOf } from './training-config.ts';
import { bytes, count, table } from './words.ts';

/** Runs the command; the exit code is 1 where a bit differs. */
export async function verifyResume(options: VerifyResumeOptions): Promise<void> {
  const report = createReporter(options);
  const model = await openModelAt(options.model, report);
  const data = prepareData(
    await readData({ data: options.data, evalData: options.evalData ?? null }),
    model,
    preparationOf(options),
  );
  reportData(report, data.summary, options.evalData ?? null);
  const folder = await mkdtemp(join(tmpdir(), 'lorikeet-verify-'));
  const store = await openStore(join(folder, 'store'), true, (text) => report.note(text));
  try {
    await withGpu(options.device, report, async (gpu) => {
      const base = await loadModel(model, gpu, report);
      const { rank, alpha, dropout, rslora, targets, before, after } = options;
      const proof = await proveResume(store, base, model, data, {
        request: {
          lora: { rank, alpha, dropout, rslora, targets },
          training: trainingOf(options),
          device: gpu.info.name,
          appVersion: version,
        },
        before,
        after,
        onProgress: (done, total) => report.progress('Checking', done, total),
      });
      report.end();
      base.dispose();
      if (options.json) {
        process.stdout.write(`${JSON.stringify({ ...proof, gpu: gpu.info.name })}\n`);
        refuseDifference(proof);
        return;
      }
      const times = `held training ${count(proof.stallMs)} ms, saved in ${count(proof.saveMs)} ms, read back in ${count(proof.loadMs)} ms`;
      process.stdout.write(
        table([
          ['Resumed run', proof.equal ? 'equal, bit for bit' : 'NOT equal'],
          [
            'Compared',
            `${count(proof.values)} values after ${count(before + after)} steps on ${gpu.info.name}`,
          ],
          ['Checkpoint', `${bytes(proof.bytes)}; ${times}`],
          ...proof.differences
            .slice(0, 10)
            .map(({ what, values }) => ['Differs', `${what} (${count(values)} values)`] as const),
        ]),
      );
      refuseDifference(proof);
    });
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function refuseDifference({ equal, differences }: ResumeProof): void {
  if (equal) return;
  throw new StudioError({
    code: 'RESUME_DIFFERS',
    message: `The resumed run is not the run that went through: ${count(differences.length)} tensors or figures differ.`,
    fix: 'Do not rely on resuming on this GPU, and please report it with this output.',
  });
}
