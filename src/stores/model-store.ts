/** The choice of a model and what the worker has loaded of it. */
import { createStore } from 'zustand/vanilla';
import type { ModelChoice, ModelSummary } from '../../workers/api.ts';
import { type Loadable, nothingLoaded } from './loadable.ts';

export type ModelSource = ModelChoice['kind'];

export interface PickedFile {
  /** As picked, with its folders: `my-model/config.json`. */
  path: string;
  file: File;
}

export interface ModelState {
  source: ModelSource;
  files: readonly PickedFile[];
  /** Counts the picks, so that the same names picked again are loaded again. */
  pick: number;
  /** As typed: `owner/name`, with `@revision` where wanted. */
  hubId: string;
  load: Loadable<ModelSummary>;
}

const HUB_ID = /^([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/;

export const modelStore = createStore<ModelState>(() => ({
  source: 'embedded',
  files: [],
  pick: 0,
  hubId: '',
  load: nothingLoaded(),
}));

/** What the settings on the page ask for, with a key that tells one wish from another; null while something is missing. */
export function wantedModel(
  state: Pick<ModelState, 'source' | 'files' | 'pick' | 'hubId'>,
): { key: string; choice: ModelChoice } | null {
  if (state.source === 'embedded') return { key: 'embedded', choice: { kind: 'embedded' } };
  if (state.source === 'files') {
    if (state.files.length === 0) return null;
    return { key: `files:${state.pick}`, choice: { kind: 'files', files: state.files } };
  }
  const [whole, id, revision] = HUB_ID.exec(state.hubId.trim()) ?? [];
  if (whole === undefined || id === undefined) return null;
  return { key: `hub:${whole}`, choice: { kind: 'hub', id, ...(revision && { revision }) } };
}

/** Takes files as the model. */
export function pickModelFiles(files: readonly PickedFile[]): void {
  modelStore.setState(({ pick }) => ({ source: 'files', files, pick: pick + 1 }));
}
