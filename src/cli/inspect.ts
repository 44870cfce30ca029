/** `lorikeet inspect`: what a folder or an archive holds. Needs no GPU and reads no weights of a model. */
import { existsSync } from 'node:fs';
import { inspect as look, type AdapterInspection, type ModelInspection } from '../formats/inspect.ts';
import { folderFileSet, openPath } from '../storage/node-fs.ts';
import type { CommonOptions } from './options.ts';
import { TINY, tinyFolder } from './sources.ts';
import { bytes, count, table } from './words.ts';

/** Runs the command. */
export async function inspect(path: string, { json }: CommonOptions): Promise<void> {
  const embedded = path === TINY && !existsSync(path);
  const found = await look(embedded ? await folderFileSet(tinyFolder(), TINY) : await openPath(path));
  if (json) {
    process.stdout.write(`${JSON.stringify(found)}\n`);
    return;
  }
  const rows = found.kind === 'model' ? modelRows(found) : adapterRows(found);
  const files = found.files.map(({ path: name, size }) => [`  ${name}`, bytes(size)] as const);
  process.stdout.write(table([...rows, ['Files', bytes(found.totalBytes)], ...files]));
  for (const problem of found.problems) process.stdout.write(`Note: ${problem}\n`);
}

const known = (value: string | number | null): string =>
  value === null ? 'not said' : typeof value === 'number' ? count(value) : value;

function modelRows(model: ModelInspection): (readonly [string, string])[] {
  const dtypes = Object.entries(model.dtypes).map(([dtype, parameters]) => `${dtype} ${count(parameters)}`);
  return [
    ['Kind', 'model'],
    ['Architecture', `${known(model.architecture)} (${known(model.family)})`],
    ['Parameters', `${count(model.parameters)} in ${count(model.tensors)} tensors`],
    ['Dtypes', dtypes.join(', ') || 'none'],
    ['Layers', known(model.layers)],
    ['Hidden size', known(model.hiddenSize)],
    ['Vocabulary', known(model.vocabSize)],
    ['Chat template', model.hasChatTemplate ? 'yes' : 'no'],
  ];
}

function adapterRows(adapter: AdapterInspection): (readonly [string, string])[] {
  const { checkpoint } = adapter;
  const metrics = Object.entries(checkpoint?.metrics ?? {}).map(
    ([name, value]) => `${name} ${value.toPrecision(5)}`,
  );
  return [
    ['Kind', `adapter (${adapter.container})`],
    ['Base model', known(adapter.baseModel)],
    ['Rank', count(adapter.rank)],
    ['Alpha', `${adapter.alpha}, scale ${adapter.rslora ? 'alpha / sqrt(rank)' : 'alpha / rank'}`],
    ['Targets', adapter.targets.join(', ')],
    [
      'Parameters',
      `${count(adapter.parameters)} in ${count(adapter.layers)} layers, ${adapter.dtypes.join(', ')}`,
    ],
    ...(checkpoint === null
      ? []
      : ([
          ['Checkpoint', `${checkpoint.name} (${checkpoint.kind}), step ${count(checkpoint.step)}`],
          ['Id', `${checkpoint.id}, run ${checkpoint.runId}`],
          ['Made', checkpoint.createdAt],
          ['Figures', metrics.join(', ') || 'none'],
        ] satisfies [string, string][])),
  ];
}
