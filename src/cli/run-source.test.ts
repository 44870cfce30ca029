import { expect, test } from 'vitest';
import { StudioError } from '../errors.ts';
import { RECORD_VERSION, type RunRecord } from '../storage/records.ts';
import type { FinetuneOptions } from './options.ts';
import { pathsOf, savingOf, writeSource, type Saving } from './run-source.ts';

const NONE = { saveEvery: 0, saveMinutes: 5, delta: false };
const options = (given: Partial<Saving>): FinetuneOptions =>
  ({ ...NONE, ...given, given: Object.keys(given) }) as unknown as FinetuneOptions;

const record = (settings: RunRecord['settings']): RunRecord => ({
  version: RECORD_VERSION,
  id: 'x',
  name: 'pirate',
  createdAt: '',
  updatedAt: '',
  removedAt: null,
  lastSequence: 0,
  baseId: null,
  settings,
  metadata: {},
  note: '',
});

const SAVING: Saving = { saveEvery: 5, saveMinutes: 0, keepLatest: 9, ttl: 60, delta: true };
const PATHS = { model: 'tiny', data: '/no/such/rows.jsonl', evalData: null };

test('a run goes on with its paths, and with those that are given instead', () => {
  const run = record(writeSource(PATHS, SAVING));
  expect(pathsOf(run, {})).toEqual(PATHS);
  expect(pathsOf(run, { data: 'moved', evalData: 'e' })).toEqual({ ...PATHS, data: 'moved', evalData: 'e' });
  expect(() => pathsOf(record({}), { model: 'tiny' })).toThrow(StudioError);
});

test('a run goes on saving as it did', () => {
  const run = record(writeSource(PATHS, SAVING));
  expect(savingOf(run, options({}))).toEqual(SAVING);
  expect(savingOf(run, options({ saveEvery: 2, delta: false }))).toEqual({
    ...SAVING,
    saveEvery: 2,
    delta: false,
  });
  // One rule of retention that is given takes the place of all.
  const { keepLatest: _, ...rest } = SAVING;
  expect(savingOf(run, options({ keepBest: 2 }))).toEqual({ ...rest, keepBest: 2 });
});

test('a record of an earlier version says nothing of saving', () => {
  expect(savingOf(record({ cli: PATHS }), options({ saveEvery: 3 }))).toMatchObject({ saveEvery: 3 });
  expect(pathsOf(record({ cli: PATHS }), {})).toEqual(PATHS);
});
