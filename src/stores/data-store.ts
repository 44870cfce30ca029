/** The choice of a data set and what the worker has read of it. */
import { createStore } from 'zustand/vanilla';
import type { DataChoice, DataOptions, DataSummary } from '../../workers/api.ts';
import type { DemoSet } from '../data/demo-index.ts';
import type { ErrorFields } from '../errors.ts';
import { type Loadable, nothingLoaded } from './loadable.ts';

export interface DataState {
  demos: readonly DemoSet[];
  demosError: ErrorFields | null;
  /** `file` or the id of a demo set. */
  selected: string;
  file: File | null;
  /** Counts the picks, so that a changed file of the same name is read again. */
  pick: number;
  trainOn: DataOptions['trainOn'];
  chat: boolean;
  load: Loadable<DataSummary>;
}

export const OWN_FILE = 'file';

export const dataStore = createStore<DataState>(() => ({
  demos: [],
  demosError: null,
  selected: 'pirate',
  file: null,
  pick: 0,
  trainOn: 'completion',
  chat: false,
  load: nothingLoaded(),
}));

export type DataChoiceState = Pick<DataState, 'selected' | 'file' | 'pick' | 'trainOn' | 'chat'>;

/** What the page asks for. The key names the model too, whose tokenizer reads the rows. */
export function wantedData(
  state: DataChoiceState,
  modelKey: string | null,
  options: Omit<DataOptions, 'trainOn' | 'chat'>,
): { key: string; choice: DataChoice; options: DataOptions } | null {
  const choice = chosenData(state);
  if (choice === null || modelKey === null) return null;
  const all = { trainOn: state.trainOn, chat: state.chat, ...options };
  const name = choice.kind === 'demo' ? `demo:${choice.id}` : `file:${state.pick}`;
  return { key: JSON.stringify([modelKey, name, all]), choice, options: all };
}

function chosenData(state: DataChoiceState): DataChoice | null {
  if (state.selected !== OWN_FILE) return { kind: 'demo', id: state.selected };
  return state.file === null ? null : { kind: 'file', file: state.file };
}

/** Takes a file as the data. */
export function pickDataFile(file: File): void {
  dataStore.setState(({ pick }) => ({ selected: OWN_FILE, file, pick: pick + 1 }));
}
