/** The settings of the next run. */
import { createStore } from 'zustand/vanilla';
import { INITIAL_SETTINGS, type NumberName, type Settings } from './settings.ts';

export const settingsStore = createStore<Settings>(() => INITIAL_SETTINGS);

/** Keeps what was typed for a number, right or wrong. */
export function typeNumber(name: NumberName, text: string): void {
  settingsStore.setState(({ typed }) => ({ typed: { ...typed, [name]: text } }));
}
