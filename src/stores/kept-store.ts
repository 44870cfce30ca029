/** The kept checkpoints as the page sees them: a mirror of the worker's view, and what the person looks at. */
import { createStore } from 'zustand/vanilla';
import type { Progress } from '../../workers/api.ts';
import type {
  Comparison,
  DroppedFile,
  ListQuery,
  Peek,
  PrunePlan,
  ResumePlan,
  ResumeProof,
  StoreView,
} from '../../workers/checkpoints-api.ts';
import type { ErrorFields } from '../errors.ts';

export interface KeptState {
  view: StoreView | null;
  query: ListQuery;
  /** Ids of the checkpoints that are marked, in the order of marking. */
  marked: readonly string[];
  /** The checkpoint whose details are open. */
  open: string | null;
  /** What is going on, with its progress where there is one, and what ends it where something does. */
  busy: { what: string; progress: Progress | null; cancel: (() => void) | null } | null;
  error: ErrorFields | null;
  /** A sentence about what was just done. */
  done: string | null;
  comparison: { names: [string, string]; result: Comparison } | null;
  prune: { runId: string; plan: PrunePlan } | null;
  proof: ResumeProof | null;
  /** The run that is to go on, and what a person has to pick for that; null for nothing. */
  resume: { plan: ResumePlan; missing: 'model' | 'data' | null } | null;
  /** Files that were dropped or picked, and what they are. */
  dropped: { files: readonly DroppedFile[]; peek: Peek } | null;
}

export const PAGE_ROWS = 20;

export const keptStore = createStore<KeptState>(() => ({
  view: null,
  query: { limit: PAGE_ROWS },
  marked: [],
  open: null,
  busy: null,
  error: null,
  done: null,
  comparison: null,
  prune: null,
  proof: null,
  resume: null,
  dropped: null,
}));

/** Marks a checkpoint, or takes the mark away. */
export function toggleMark(id: string): void {
  keptStore.setState(({ marked }) => ({
    marked: marked.includes(id) ? marked.filter((other) => other !== id) : [...marked, id],
  }));
}
