/**
 * Something that the worker loads for the page: a model or a data set.
 * Each part carries the key of what was asked for, so an answer that comes late is never taken for a newer question's.
 */
import type { ErrorFields } from '../errors.ts';
import type { Progress } from '../../workers/api.ts';

export interface Loadable<Value> {
  loaded: { key: string; value: Value } | null;
  loading: { key: string; progress: Progress | null } | null;
  failed: { key: string; error: ErrorFields } | null;
}

/** What the page shows for a key. */
export type LoadView<Value> =
  | { status: 'empty' }
  | { status: 'loading'; progress: Progress | null }
  | { status: 'ready'; value: Value }
  | { status: 'failed'; error: ErrorFields };

/** Nothing loaded yet. */
export function nothingLoaded<Value>(): Loadable<Value> {
  return { loaded: null, loading: null, failed: null };
}

/** The state for the key that is wanted now; a null key wants nothing. */
export function viewOf<Value>(load: Loadable<Value>, key: string | null): LoadView<Value> {
  if (key === null) return { status: 'empty' };
  if (load.loading?.key === key) return { status: 'loading', progress: load.loading.progress };
  if (load.loaded?.key === key) return { status: 'ready', value: load.loaded.value };
  if (load.failed?.key === key) return { status: 'failed', error: load.failed.error };
  return { status: 'empty' };
}

/** What was loaded before is gone: the worker frees it before it loads anew. */
export function beginLoad<Value>(key: string): Loadable<Value> {
  return { loaded: null, loading: { key, progress: null }, failed: null };
}

export function advanceLoad<Value>(load: Loadable<Value>, key: string, progress: Progress): Loadable<Value> {
  return load.loading?.key === key ? { ...load, loading: { key, progress } } : load;
}

/** Of a load that another one has overtaken nothing stays: the worker frees it next. */
export function finishLoad<Value>(load: Loadable<Value>, key: string, value: Value): Loadable<Value> {
  if (load.loading?.key !== key) return load;
  return { loaded: { key, value }, loading: null, failed: null };
}

export function failLoad<Value>(load: Loadable<Value>, key: string, error: ErrorFields): Loadable<Value> {
  if (load.loading?.key !== key) return load;
  return { loaded: null, loading: null, failed: { key, error } };
}
