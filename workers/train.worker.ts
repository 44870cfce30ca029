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
  storeView: overWire((query, sentinel) => studio.storeView(query, sentinel)),
  saveNow: overWire((what) => studio.saveNow(what)),
  saveHidden: overWire(() => studio.saveHidden()),
  resumePlan: overWire((id) => studio.resumePlan(id)),
  changeCheckpoint: overWire((id, change) => studio.changeCheckpoint(id, change)),
  removeCheckpoints: overWire((ids, options) => studio.removeCheckpoints(ids, options)),
  restoreCheckpoints: overWire((ids) => studio.restoreCheckpoints(ids)),
  emptyBin: overWire(() => studio.emptyBin()),
  planPrune: overWire((runId, policy) => studio.planPrune(runId, policy)),
  prune: overWire((runId, policy) => studio.prune(runId, policy)),
  verifyCheckpoint: overWire((id) => studio.verifyCheckpoint(id)),
  compare: overWire((a, b) => studio.compare(a, b)),
  exportCheckpoint: overWire((id, what, onProgress) =>
    studio.exportCheckpoint(id, what, tenPerSecond(onProgress)),
  ),
  cancelTransfer: overWire(() => studio.cancelTransfer()),
  peek: overWire((files) => studio.peek(files)),
  importFiles: overWire((files, onProgress) => studio.importFiles(files, tenPerSecond(onProgress))),
  proveResume: overWire((request, onProgress) => studio.proveResume(request, tenPerSecond(onProgress))),
  runExample: overWire((kind, seed, onEvent) => studio.runExample(kind, seed, onEvent)),
  stopExample: overWire(() => studio.stopExample()),
  dispose: overWire(() => studio.dispose()),
};

expose(api);
