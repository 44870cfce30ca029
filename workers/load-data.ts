/** The chosen data: its bytes from the page's folder or from the person's file, and what the page shows of it. */
import { parseDemoIndex } from '../src/data/demo-index.ts';
import { StudioError } from '../src/errors.ts';
import { blobSource } from '../src/formats/bytes.ts';
import type { OpenModel } from '../src/run/open-model.ts';
import { prepareData, type PreparedData } from '../src/run/prepare-data.ts';
import type { DataChoice, DataOptions } from './api.ts';
import { fetchAsset } from './assets.ts';

/** Reads, checks and tokenises the data. Throws a DATA_ error that says what is wrong with it. */
export async function loadData(
  choice: DataChoice,
  model: OpenModel,
  options: DataOptions,
): Promise<PreparedData> {
  if (choice.kind === 'demo') return loadDemo(choice.id, model, options);
  const source = blobSource(choice.file.name, choice.file);
  return prepareData({ name: source.name, bytes: await source.read(0, source.size) }, model, options);
}

async function loadDemo(id: string, model: OpenModel, options: DataOptions): Promise<PreparedData> {
  const sets = parseDemoIndex(await (await fetchAsset('datasets/index.json')).json());
  const demo = sets.find((set) => set.id === id);
  if (demo === undefined) {
    throw new StudioError({
      code: 'FILE_NOT_FOUND',
      message: `There is no demo data set "${id}".`,
      fix: `Choose one of ${sets.map((set) => set.id).join(', ')}.`,
    });
  }
  const bytes = new Uint8Array(await (await fetchAsset(`datasets/${demo.file}`)).arrayBuffer());
  const data = prepareData({ name: demo.file, bytes }, model, options);
  return { ...data, summary: { ...data.summary, samplePrompt: demo.samplePrompt } };
}
