/** What came of the last download of an adapter. */
import { createStore } from 'zustand/vanilla';
import type { ErrorFields } from '../errors.ts';

interface ExportState {
  saved: { name: string; bytes: number } | null;
  error: ErrorFields | null;
}

export const exportStore = createStore<ExportState>(() => ({ saved: null, error: null }));
