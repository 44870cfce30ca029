import { describe, expect, test } from 'vitest';
import { DEFAULT_FINETUNE } from '../engine/index.ts';
import { archiveEntries } from '../formats/archive-write.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { textEntry } from '../formats/file-entry.ts';
import { memoryFileSet, type FileSet } from '../formats/file-set.ts';
import { stateEntries } from '../formats/state-files.ts';
import { testAdapter } from '../formats/testing-adapter.ts';
import { testExport } from '../formats/testing-export.ts';
import { testState } from '../formats/testing-state.ts';
import { codeOf, collect } from '../formats/testing.ts';
import type { RunIdentity } from './capture.ts';
import {
  checkResume,
  positionOf,
  restoreRun,
  resumePromise,
  stepsLeft,
  type RestoredRun,
} from './restore.ts';
import { flattenSettings, type RunSettings } from './run-settings.ts';

const settings: RunSettings = {
  data: { name: 'pirates.jsonl', trainOn: 'completion', chat: false, maxLength: 512, evalSplit: 0, seed: 11 },
  training: {
    ...DEFAULT_FINETUNE,
    steps: 20,
    batchSize: 3,
    learningRate: 1e-4,
    schedule: 'cosine',
    warmupSteps: 3,
    gradClip: 1,
    seed: 11,
  },
};
const what = testExport();

async function filesOf(
  change: (entries: FileEntry[]) => FileEntry[] = (entries) => entries,
): Promise<FileSet> {
  const adapter = testAdapter();
  const stateFiles = stateEntries(testState(adapter, { settings: flattenSettings(settings) }), adapter);
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of change(await archiveEntries({ ...what, adapter, stateFiles })))
    files.set(entry.path, await collect(entry.chunks()));
  return memoryFileSet('checkpoint', files);
}

/** The run that the checkpoint is of. */
function identity(restored: RestoredRun): RunIdentity {
  const { base } = restored.manifest;
  return {
    model: {
      id: base.id,
      revision: null,
      hashes: {
        configSha256: base.configSha256,
        tokenizerSha256: base.tokenizerSha256,
        weightsSha256: 'a'.repeat(64),
      },
      config: undefined as never,
      tokenizerFiles: [],
      dtype: 'F32',
    },
    settings,
    lora: restored.adapter.settings,
    data: { rows: 13, sha256: 'd'.repeat(64) },
    maxTokens: 512,
    steps: 20,
    device: 'SwiftShader',
    appVersion: '0',
  };
}

describe('a checkpoint', () => {
  test('gives back everything that a run needs', async () => {
    const restored = await restoreRun(await filesOf());
    expect(restored.settings).toEqual(settings);
    expect(positionOf(restored.state)).toEqual({ step: 10, rowsTaken: 33 });
    expect(stepsLeft(restored)).toBe(10);
    checkResume(restored, identity(restored));
  });

  test.each([
    ['state/optimizer.safetensors', 'STATE_INCOMPLETE'],
    ['state/trainer.json', 'STATE_INCOMPLETE'],
    ['state/metrics.jsonl', 'STATE_INCOMPLETE'],
    ['checkpoint.json', 'STATE_INCOMPLETE'],
    ['adapter_model.safetensors', 'ADAPTER_INVALID'],
  ])('without %s is refused, never resumed with less', async (path, code) => {
    const files = filesOf((entries) => entries.filter((entry) => entry.path !== path));
    expect(await codeOf(async () => restoreRun(await files))).toBe(code);
  });

  test('of a newer format is refused by that name', async () => {
    const files = await filesOf((entries) =>
      entries.map((entry) =>
        entry.path === 'checkpoint.json' ? textEntry(entry.path, '{"formatVersion": 2}') : entry,
      ),
    );
    expect(await codeOf(() => restoreRun(files))).toBe('FORMAT_NEWER');
  });
});

describe('resuming is refused by name', () => {
  const cases: [string, string, (run: RunIdentity) => void][] = [
    ['another base model', 'BASE_MISMATCH', ({ model }) => (model.hashes.configSha256 = '0'.repeat(64))],
    [
      'another tokenizer',
      'TOKENIZER_MISMATCH',
      ({ model }) => (model.hashes.tokenizerSha256 = '0'.repeat(64)),
    ],
    ['another rank', 'ADAPTER_MISMATCH', (run) => (run.lora = { ...run.lora, rank: 4 })],
    ['other layers', 'ADAPTER_MISMATCH', (run) => (run.lora = { ...run.lora, targetModules: ['q_proj'] })],
    ['another data set', 'DATA_MISMATCH', (run) => (run.data = { ...run.data, sha256: '0'.repeat(64) })],
    ['more rows', 'DATA_MISMATCH', (run) => (run.data = { ...run.data, rows: 14 })],
    ['other micro-batches', 'STATE_INVALID', (run) => (run.maxTokens = 256)],
    ['more steps', 'STATE_INVALID', (run) => (run.steps = 30)],
  ];
  test.each(cases)('with %s: %s', async (_, code, change) => {
    const restored = await restoreRun(await filesOf());
    const run = identity(restored);
    change(run);
    expect(await codeOf(() => checkResume(restored, run))).toBe(code);
  });

  test.each<[Partial<RunSettings['training']>, string]>([
    [{ beta2: 0.99 }, 'OPTIMIZER_MISMATCH'],
    [{ gradClip: 0 }, 'OPTIMIZER_MISMATCH'],
    [{ seed: 12 }, 'OPTION_INVALID'],
    [{ schedule: 'linear' }, 'OPTION_INVALID'],
    [{ learningRate: 2e-4 }, 'OPTION_INVALID'],
    [{ gradAccumulation: 2 }, 'OPTION_INVALID'],
  ])('with the settings %j: %s', async (change, code) => {
    const restored = await restoreRun(await filesOf());
    const run = identity(restored);
    run.settings = { ...settings, training: { ...settings.training, ...change } };
    expect(await codeOf(() => checkResume(restored, run))).toBe(code);
  });

  test('with other weights, where the checkpoint knows them', async () => {
    const restored = await restoreRun(await filesOf());
    const run = identity(restored);
    restored.manifest.base.weightsSha256 = 'b'.repeat(64);
    expect(await codeOf(() => checkResume(restored, run))).toBe('BASE_MISMATCH');
  });
});

test('what is promised depends on the GPU and on the kernels', async () => {
  const { manifest } = await restoreRun(await filesOf());
  expect(resumePromise(manifest, 'Another GPU')).toMatchObject({ exact: false });
  expect(resumePromise(manifest, 'SwiftShader').text).toContain('another version of the kernels');
});
