/** The training worker: everything that computes, offered to the page through comlink. */
import { expose } from 'comlink';
import type { StudioApi } from './api.ts';
import { Studio } from './studio.ts';
import { overWire, tenPerSecond } from './wire.ts';

const studio = new Studio();

const api: StudioApi = {
  capability: overWire(() => studio.capability()),
  loadModel: overWire((choice, onProgress) => studio.loadModel(choice, tenPerSecond(onProgress))),
  loadData: overWire((choice, options) => studio.loadData(choice, options)),
  start: overWire((request, onEvent) => studio.start(request, onEvent)),
  pause: overWire(() => studio.pause()),
  resume: overWire(() => studio.resume()),
  stop: overWire(() => studio.stop()),
  answer: overWire((prompt, adapterScale, maxTokens) => studio.answer(prompt, adapterScale, maxTokens)),
  exportAdapter: overWire((options) => studio.exportAdapter(options)),
  dispose: overWire(() => studio.dispose()),
};

expose(api);
