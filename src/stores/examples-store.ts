/** The example programs as the page sees them: which one runs, how far it is, and what came of each. */
import { createStore } from 'zustand/vanilla';
import type { ExampleEvent, ExampleKind, ExampleOutcome } from '../../workers/examples-api.ts';
import type { ErrorFields } from '../errors.ts';

export interface ExampleView {
  stage: Extract<ExampleEvent, { type: 'stage' }> | null;
  points: { step: number; share: number }[];
  outcome: ExampleOutcome | null;
  error: ErrorFields | null;
}

export interface ExamplesState {
  running: ExampleKind | null;
  stopping: boolean;
  views: Readonly<Record<ExampleKind, ExampleView>>;
}

export const NOTHING: ExampleView = { stage: null, points: [], outcome: null, error: null };

export const examplesStore = createStore<ExamplesState>(() => ({
  running: null,
  stopping: false,
  views: { reward: NOTHING, preference: NOTHING },
}));

/** Changes what is known of one of them. */
export function changeExample(kind: ExampleKind, change: (view: ExampleView) => ExampleView): void {
  examplesStore.setState(({ views }) => ({ views: { ...views, [kind]: change(views[kind]) } }));
}

/** Takes in what a running example tells. */
export function tellExample(kind: ExampleKind, event: ExampleEvent): void {
  changeExample(kind, (view) =>
    event.type === 'stage'
      ? { ...view, stage: event }
      : { ...view, points: [...view.points, { step: event.step, share: event.share }] },
  );
}
