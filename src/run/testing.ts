/** Helpers of the tests in this folder: the embedded model and the demo data as they ship. Tests only. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FileSet } from '../formats/file-set.ts';
import { memoryFileSet } from '../formats/file-set.ts';
import { folderFileSet } from '../storage/node-fs.ts';
import { openModel, type OpenModel } from './open-model.ts';
import { prepareData, type DataFile, type PreparedData, type PrepareOptions } from './prepare-data.ts';

const PUBLIC = new URL('../../public/', import.meta.url);
const TINY = fileURLToPath(new URL('models/lorikeet-tiny', PUBLIC));

export const NOW = new Date('2026-11-22T10:00:00Z');

/** Opens the embedded model. */
export async function openTiny(): Promise<OpenModel> {
  return openModel(await folderFileSet(TINY), 'lorikeet-tiny', NOW);
}

/** The embedded model with some of its files replaced, or left out (null). */
export async function changedTiny(changes: Record<string, string | null>): Promise<FileSet> {
  const names = (await folderFileSet(TINY)).names();
  const files = new Map(names.map((name) => [name, Uint8Array.from(readFileSync(`${TINY}/${name}`))]));
  for (const [name, text] of Object.entries(changes)) {
    if (text === null) files.delete(name);
    else files.set(name, new TextEncoder().encode(text));
  }
  return memoryFileSet('changed', files);
}

/** The text of one of the embedded model's files. */
export function tinyText(name: string): string {
  return readFileSync(`${TINY}/${name}`, 'utf8');
}

/** A demo data set as it ships. */
export function demoFile(name: string): DataFile {
  return { name, bytes: readFileSync(new URL(`datasets/${name}`, PUBLIC)) };
}

/** Rows of a data file of one's own. */
export function rowsFile(name: string, rows: readonly unknown[]): DataFile {
  return { name, bytes: new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join('\n')) };
}

export const PREPARE: PrepareOptions = {
  trainOn: 'completion',
  chat: false,
  maxLength: 512,
  evalSplit: 0,
  seed: 0,
};

/** The first rows of a demo set, ready to train. */
export function demoRows(model: OpenModel, name: string, rows: number): PreparedData {
  const data = prepareData(demoFile(name), model, PREPARE);
  return { ...data, train: data.train.slice(0, rows) };
}

/** What a run is told besides its settings. */
export const CONTEXT = { device: 'test', appVersion: '0.0.0' };
