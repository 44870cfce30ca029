/** The current or last run. */
import { createStore } from 'zustand/vanilla';
import { NO_RUN, type RunView } from './run-view.ts';

export const runStore = createStore<RunView>(() => NO_RUN);
