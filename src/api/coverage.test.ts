/** The page docs/api-coverage.md against the tests that it names, and the methods of the specification against the classes. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { CheckpointManager } from './checkpoint-manager.ts';
import { PPOTrainer } from './ppo-trainer.ts';
import { SamplingClient } from './sampling-client.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';

/** Rows of the specification, by its sections. A row that is not done is said to be so, never left out. */
const ROWS: Readonly<Record<string, number>> = {
  '1.2': 15,
  '1.3': 21,
  '1.4': 9,
  '1.5': 22,
  '1.6': 6,
  '1.7': 9,
  '1.8': 3,
  '1.9': 3,
  '1.10': 4,
  '1.11': 5,
  '1.12': 6,
  '1.13': 3,
  '5.3': 14,
  '5.4': 9,
  '6.2': 18,
  '6.3': 10,
  '7': 18,
  '11.1': 17,
  '11.2': 27,
  '11.3': 26,
  '11.4': 7,
  '11.5': 28,
  // What may go wrong in a call.
  Errors: 9,
};

interface Row {
  section: string;
  label: string;
  status: string;
  tests: { file: string; title: string }[];
  /** What the last column says besides the tests. */
  words: string[];
}

const ROOT = new URL('../../', import.meta.url);
const text = (path: string): Promise<string> => readFile(new URL(path, ROOT), 'utf8');

/** The rows of all tables, by the section that they stand in. */
function parsePage(page: string): Row[] {
  let section = '';
  return page.split('\n').flatMap((line): Row[] => {
    section = /^## (\S+)/.exec(line)?.[1] ?? section;
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    if (cells.length !== 5 || cells[1] === 'row' || /^-+$/.test(cells[1] ?? '')) return [];
    const [, label = '', status = '', last = ''] = cells;
    const parts = last.split('<br>').map((part) => /^(\S+\.ts) › (.+)$/.exec(part) ?? part);
    return [
      {
        section,
        label,
        status,
        tests: parts.flatMap((part) =>
          typeof part === 'string' ? [] : [{ file: part[1] ?? '', title: part[2] ?? '' }],
        ),
        words: parts.flatMap((part) => (typeof part === 'string' && part !== '' ? [part] : [])),
      },
    ];
  });
}

/** Names of tests in a source: the first argument of `it` and `test`, of what `.each` gives, and `name:` in suites. */
function titlesOf(source: string): Set<string> {
  const found = source.matchAll(
    /(?:\b(?:it|test|gpuTest)\(\s*|\)\(\s*|\bname:\s*)(['"`])((?:\\.|(?!\1)[^\\])*)\1/g,
  );
  return new Set([...found].map(([, , title = '']) => title.replace(/\\(['"`])/g, '$1')));
}

describe('the page of coverage', () => {
  let rows: Row[];
  beforeAll(async () => {
    rows = parsePage(await text('docs/api-coverage.md'));
  });

  it('has a row for each row of the specification', () => {
    const counts: Record<string, number> = {};
    for (const { section } of rows) counts[section] = (counts[section] ?? 0) + 1;
    expect(counts).toMatchObject(ROWS);
  });

  it('names a test for what is done, and a reason for what is not', () => {
    const wrong = rows.filter(({ status, tests, words }) => {
      if (status === 'done') return tests.length === 0 || words.length > 0;
      if (status === 'partly') return tests.length === 0 || words.length === 0;
      return status !== 'not done' || tests.length > 0 || words.join('').length < 20;
    });
    expect(wrong.map(({ section, label }) => `${section} ${label}`)).toEqual([]);
  });

  it('names no test that is not there', async () => {
    const titles = new Map<string, Set<string>>();
    const missing: string[] = [];
    for (const { file, title } of rows.flatMap(({ tests }) => tests)) {
      const path = /^(src|e2e|scripts|workers)\//.test(file) ? file : `src/api/${file}`;
      if (!titles.has(path)) titles.set(path, titlesOf(await text(path).catch(() => '')));
      if (titles.get(path)?.has(title) !== true) missing.push(`${path} › ${title}`);
    }
    expect([...new Set(missing)]).toEqual([]);
  });

  it('would notice a title that was changed', () => {
    const source =
      "it('one', f); test.each([1])(\n  'two %s', f);\nconst suite = { name: 'three' }; it(\"it's\", f);";
    expect([...titlesOf(source)]).toEqual(['one', 'two %s', 'three', "it's"]);
    const [row] = parsePage('## 1.2 x\n| `a(\\|)` | partly | Why. <br>x.test.ts › b |\n| --- | --- | --- |');
    expect(row).toMatchObject({
      section: '1.2',
      tests: [{ file: 'x.test.ts', title: 'b' }],
      words: ['Why. '],
    });
  });
});

/** What the specification's tables name, by class. */
const METHODS = {
  service: `getServerCapabilities capabilities createLoraTrainingClient createTrainingClientFromState
    createTrainingClientFromStateWithOptimizer loadTrainingClient createSamplingClient createDeploymentSampler
    createReferenceClient createBaseTrainingClient createRestClient copyWeights promoteCheckpoint validateOutputModelId
    getTelemetry getConsoleUrl close`,
  training: `forward forwardBackward forwardBackwardCustom optimStep train saveState loadState loadStateWithOptimizer
    saveWeightsForSampler saveWeightsForSamplerExt saveWeightsAndGetSamplingClient createSamplingClient sample
    resolveCheckpointPath listCheckpoints verifyResume getInfo getTokenizer dispose runId loopState saveWeightsExternal
    onRunReplaced metadata`,
  sampling: `sample sampleStream computeLogprobs getTokenizer getBaseModel getSamplerHandle hotLoad snapshot`,
  rest: `getTrainingRun getTrainingRunByPath listTrainingRuns getWeightsInfo listCheckpoints listUserCheckpoints
    searchCheckpoints deleteCheckpoint deleteCheckpointFromPath deleteCheckpoints publishCheckpointFromPath
    unpublishCheckpointFromPath publish unpublish setCheckpointTtl getCheckpointArchiveUrl
    getCheckpointArchiveUrlFromPath downloadCheckpointArchive promoteCheckpoint promoteLatest listModels
    getCurrentCheckpointStorageUsage getSession listSessions assignSessionProject exportSessionTrace getSampler
    getAuditLog getBillingUsage whoami getExternalWeightsUrls externalWeightsUploadStart externalWeightsUploadFinish
    importAdapter`,
  manager: `maybeSave shouldSavePeriodic savePeriodic maybeSaveRolling saveFinal finalize restoreLastSavedTokens
    saveCheckpoint getLatestCheckpoint getBestCheckpoint resumeLatest preview pin unpin`,
  trainer: 'collectRollouts computeRewards ppoUpdate',
} as const;

describe('the classes', () => {
  it('have every method of the specification', async () => {
    const service = new ServiceClient({
      backend: createBigramBackend(),
      env: {},
      onWarning: () => undefined,
    });
    const training = await service.createLoraTrainingClient('bigram', { rank: 4 });
    const objects: Record<keyof typeof METHODS, object> = {
      service,
      training,
      sampling: await service.createSamplingClient({ baseModel: 'bigram' }),
      rest: service.createRestClient(),
      manager: new CheckpointManager(training),
      trainer: PPOTrainer.fromTrainingClient(training),
    };
    const missing = Object.entries(METHODS).flatMap(([key, names]) =>
      names
        .split(/\s+/)
        .filter((name) => !(name in objects[key as keyof typeof METHODS]))
        .map((name) => `${key}.${name}`),
    );
    expect(missing).toEqual([]);
    expect([typeof SamplingClient.fromSamplerHandle, typeof PPOTrainer.fromTrainingClient]).toEqual([
      'function',
      'function',
    ]);
  });
});
