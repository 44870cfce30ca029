/**
 * A tracker that writes the files of the family's cookbooks into a folder: `config.json`, `metrics.jsonl`,
 * `timing_spans.jsonl` and `checkpoints.jsonl`. The files are those of the host, which hands them in.
 */
import type { CheckpointRecord, TextFiles } from './checkpoints-file.ts';
import type { Tracker } from './tracker.ts';

export interface TrackerFiles extends Pick<TextFiles, 'append'> {
  /** Writes a file anew. */
  write(path: string, text: string): Promise<void>;
}

export interface JsonlOptions {
  files: TrackerFiles;
  folder: string;
}

/** JSON has no NaN and no Infinity: such a figure is null, as it is in every line of JSON. */
const line = (value: object): string => `${JSON.stringify(value)}\n`;

/** Lines are written in the order in which they were told. A write that fails is told, and the next one is tried. */
export function jsonl({ files, folder }: JsonlOptions): Tracker {
  const at = (name: string): string => `${folder.replace(/\/+$/, '')}/${name}`;
  let tail: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = tail.then(work);
    tail = done.catch(() => undefined);
    return done;
  };
  const append = (name: string, value: object): Promise<void> =>
    inTurn(() => files.append(at(name), line(value)));
  return {
    params: (params) => inTurn(() => files.write(at('config.json'), `${JSON.stringify(params, null, 2)}\n`)),
    metrics: (step, metrics) => {
      if (Object.keys(metrics).length === 0) return;
      return append('metrics.jsonl', { step, ...metrics });
    },
    checkpoint: ({ name, step, path, samplerPath }) => {
      const record: CheckpointRecord = { name, batch: step };
      // A manager that saves sampler weights alone has one path.
      if (path !== samplerPath) record.state_path = path;
      if (samplerPath !== null) record.sampler_path = samplerPath;
      if (name === 'final') record.final = true;
      return append('checkpoints.jsonl', record);
    },
    span: (span) => append('timing_spans.jsonl', span),
  };
}
