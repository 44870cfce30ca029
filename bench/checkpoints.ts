/** What a checkpoint costs: how long it holds training, and time and bytes of saving, verifying, reading, export and import. */
import { exportArchive, exportEntries } from '../src/checkpoints/export-checkpoint.ts';
import { importCheckpoint } from '../src/checkpoints/import-checkpoint.ts';
import { beginRun } from '../src/checkpoints/training-run.ts';
import { DEFAULT_FINETUNE, AdapterState, resolveTargets, type ModelConfig } from '../src/engine/index.ts';
import { BufferPool } from '../src/engine/gpu/buffers.ts';
import type { LoraSettings } from '../src/formats/adapter.ts';
import { bytesSource } from '../src/formats/bytes.ts';
import { parseModelConfig } from '../src/engine/index.ts';
import { captureCheckpoint, snapshotSession, type RunIdentity } from '../src/run/capture.ts';
import { restoreRun } from '../src/run/restore.ts';
import { newLog } from '../src/run/run-log.ts';
import type { Context } from './context.ts';
import { projectPath, readText, residentBytes, temporaryStore } from './host.ts';
import { smolConfig } from './model.ts';
import { fixed, megabytes, table } from './table.ts';

const STEPS = 100;
const ROWS = 1000;

interface Subject {
  name: string;
  config: ModelConfig;
  rank: number;
}

interface Figures {
  name: string;
  parameters: number;
  bytes: number;
  archiveBytes: number;
  /** Milliseconds: queueing the copies (all that training waits for), until they arrived, and each operation whole. */
  ms: Record<'held' | 'copied' | 'save' | 'verify' | 'resume' | 'export' | 'import', number>;
  /** Bytes of the process above those before, at the most, while an archive was made. */
  exportPeak: number;
}

function identity({ name, config }: Subject, lora: LoraSettings): RunIdentity {
  const hash = '0'.repeat(64);
  const hashes = { configSha256: hash, tokenizerSha256: hash };
  const data = {
    name: 'rows.jsonl',
    trainOn: 'completion' as const,
    chat: false,
    maxLength: 512,
    evalSplit: 0,
    seed: 0,
  };
  return {
    model: { id: name, revision: null, hashes, config, tokenizerFiles: [], dtype: 'BF16' },
    settings: { data, training: { ...DEFAULT_FINETUNE, steps: STEPS } },
    lora,
    data: { rows: ROWS, sha256: hash },
    maxTokens: 512,
    steps: STEPS,
    device: 'bench',
    appVersion: '0',
  };
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const result = await work();
  return [result, performance.now() - start];
}

async function measure({ device }: Context, subject: Subject): Promise<Figures> {
  const targetModules = resolveTargets(subject.config, 'all-linear');
  const { rank } = subject;
  const lora: LoraSettings = {
    rank,
    alpha: 2 * rank,
    dropout: 0,
    rslora: false,
    targetModules,
    rankPattern: {},
    alphaPattern: {},
  };
  const pool = new BufferPool(device);
  const state = new AdapterState(pool, subject.config, lora, { seed: 1 });
  const { store, remove } = await temporaryStore();
  const other = await temporaryStore();
  try {
    await snapshotSession({ state });
    const start = performance.now();
    const copying = snapshotSession({ state });
    const held = performance.now() - start;
    const snapshot = await copying;
    const copied = performance.now() - start;
    const records = Array.from({ length: STEPS }, (_, i) => ({
      step: i + 1,
      loss: 1,
      lr: 1e-4,
      gradNorm: 1,
    }));
    const moment = {
      step: STEPS,
      rowsTaken: 8 * STEPS,
      microStep: 0,
      log: { ...newLog(), records, tokens: 1 },
      last: null,
      metadata: {},
    };
    const { writer } = await beginRun(store, { name: 'bench' });
    const [saved, save] = await timed(async () => {
      const captured = await captureCheckpoint(identity(subject, lora), moment, snapshot);
      const input = { ...captured, name: 'x', kind: 'full' as const, trigger: 'bench' };
      return writer.save(input, { verify: false });
    });
    await writer.release();
    const { id, size } = saved.checkpoint;
    const [, verify] = await timed(() => store.verify(id));
    const [, resume] = await timed(async () => restoreRun((await store.open(id)).files()));
    const before = residentBytes();
    let exportPeak = 0;
    const [archive, exporting] = await timed(async () => {
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      let held = 0;
      const onProgress = (): void => {
        exportPeak = Math.max(exportPeak, residentBytes() - before - held);
      };
      const entries = await exportEntries(await store.open(id), { kind: 'full' });
      const reader = exportArchive(entries, { onProgress }).getReader();
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        chunks.push(next.value);
        held += next.value.byteLength;
      }
      return new Uint8Array(await new Blob(chunks).arrayBuffer());
    });
    const [, importing] = await timed(() => importCheckpoint(other.store, bytesSource('x.tar.gz', archive)));
    return {
      name: `${subject.name}, rank ${String(rank)}`,
      parameters: state.layout.parameters,
      bytes: size,
      archiveBytes: archive.byteLength,
      ms: { held, copied, save, verify, resume, export: exporting, import: importing },
      exportPeak,
    };
  } finally {
    state.dispose();
    await remove();
    await other.remove();
  }
}

/** The embedded model and SmolLM2-135M at ranks 8 and 32, on all linear layers. */
export async function checkpointsPart(context: Context): Promise<unknown> {
  const tiny = parseModelConfig(
    JSON.parse(await readText(projectPath('public/models/lorikeet-tiny/config.json'))) as object,
  );
  const subjects: Subject[] = [
    { name: 'lorikeet-tiny', config: tiny, rank: 8 },
    { name: 'SmolLM2-135M', config: smolConfig(), rank: 8 },
    { name: 'SmolLM2-135M', config: smolConfig(), rank: 32 },
  ];
  const results: Figures[] = [];
  for (const subject of subjects) results.push(await measure(context, subject));
  context.print(
    table(
      [
        'milliseconds',
        'held',
        'copied',
        'save',
        'verify',
        'resume',
        'export',
        'import',
        'MB',
        '.tar.gz MB',
        'export peak MB',
      ],
      results.map(({ name, ms, bytes, archiveBytes, exportPeak }) => [
        name,
        fixed(ms.held, 1),
        fixed(ms.copied, 0),
        fixed(ms.save, 0),
        fixed(ms.verify, 0),
        fixed(ms.resume, 0),
        fixed(ms.export, 0),
        fixed(ms.import, 0),
        megabytes(bytes),
        megabytes(archiveBytes),
        megabytes(exportPeak),
      ]),
    ),
  );
  return results;
}
