/** What this browser can do, as the worker found it; null until it has answered. */
import { createStore } from 'zustand/vanilla';
import type { Capability } from '../../workers/api.ts';

export const capabilityStore = createStore<{ capability: Capability | null }>(() => ({ capability: null }));
