/** Brings a model onto the GPU with a bar, and picks the fastest kernels for it; the choice is kept for the next time. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BaseModel } from '../engine/index.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { loadBase } from '../run/load-base.ts';
import type { OpenModel } from '../run/open-model.ts';
import { tuneBase, type TuningMemory } from '../run/tune-base.ts';
import { cacheFolder } from './cache-folder.ts';
import type { OpenGpu } from './gpu.ts';
import type { Reporter } from './progress.ts';

/** Loads the weights and tunes. */
export async function loadModel(
  model: OpenModel,
  { device, info }: OpenGpu,
  report: Reporter,
): Promise<BaseModel> {
  const base = await loadBase(model, device, (done, total) =>
    report.progress('Loading the model', done, total),
  );
  await tuneBase(base, info, tuningFiles(cacheFolder('tuning')));
  return base;
}

/** A file per GPU and shape. What cannot be kept is found out again the next time, which harms nobody. */
export function tuningFiles(folder: string): TuningMemory {
  const pathOf = (key: string): string => join(folder, `${sha256Hex(key).slice(0, 32)}.json`);
  return {
    get: (key) => readFile(pathOf(key), 'utf8').catch(() => null),
    set: async (key, value) => {
      const path = pathOf(key);
      await mkdir(dirname(path), { recursive: true })
        .then(() => writeFile(path, value))
        .catch(() => undefined);
    },
  };
}
