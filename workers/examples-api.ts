/** What the page asks of the example programs, and what they tell it: types only. */

/** `reward`: reinforcement learning of a form. `preference`: supervised fine-tuning, then preference pairs. */
export type ExampleKind = 'reward' | 'preference';

export interface ExampleAnswer {
  question: string;
  text: string;
}

export type ExampleEvent =
  | { type: 'stage'; stage: 'loading' | 'measuring' | 'training'; done: number; total: number }
  /** A share from 0 to 1: the mean reward of an iteration, or the accuracy on a batch of pairs. */
  | { type: 'point'; step: number; share: number };

export interface ExampleOutcome {
  /** Shares from 0 to 1, on questions that were not trained on. */
  before: number;
  after: number;
  /** The same question before and after. */
  answers: { question: string; before: string; after: string }[];
  /** Name of the run whose checkpoint was kept. */
  path: string | null;
  seconds: number;
}

export interface ExamplesApi {
  /** Runs an example to its end on the embedded model. Rejects with CANCELLED after `stopExample`. */
  runExample(
    kind: ExampleKind,
    seed: number,
    onEvent: (event: ExampleEvent) => void,
  ): Promise<ExampleOutcome>;
  /** Ends it after the step under way. */
  stopExample(): Promise<void>;
}
