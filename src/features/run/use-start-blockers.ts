import { useStore } from 'zustand';
import { wantedDataNow } from '../../client/load.ts';
import { capabilityStore } from '../../stores/capability-store.ts';
import { dataStore } from '../../stores/data-store.ts';
import { viewOf } from '../../stores/loadable.ts';
import { modelStore, wantedModel } from '../../stores/model-store.ts';
import { readNumbers, suggestedNumbers } from '../../stores/settings.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { startBlockers } from '../../stores/start-blockers.ts';

/** Why Start cannot be pressed, kept in step with all choices. */
export function useStartBlockers(): string[] {
  const capability = useStore(capabilityStore, (state) => state.capability);
  const model = useStore(modelStore);
  const data = useStore(dataStore);
  const settings = useStore(settingsStore);
  const modelKey = wantedModel(model)?.key ?? null;
  const dataKey = wantedDataNow()?.key ?? null;
  return startBlockers({
    capability,
    source: model.source,
    modelWanted: modelKey !== null,
    model: viewOf(model.load, modelKey),
    // Without a model no data is wanted yet: the model's reason says enough.
    dataWanted: modelKey === null || dataKey !== null,
    data: viewOf(data.load, dataKey),
    badSettings: Object.keys(readNumbers(settings.typed, suggestedNumbers(model.source)).problems).length,
    noTargets: settings.targets.length === 0,
  });
}
