/** Why Start cannot be pressed: sentences for the person, none when it can. */
import { t } from '../i18n/index.ts';
import type { Capability, DataSummary, ModelSummary } from '../../workers/api.ts';
import type { LoadView } from './loadable.ts';
import type { ModelSource } from './model-store.ts';

export interface StartState {
  capability: Capability | null;
  source: ModelSource;
  modelWanted: boolean;
  model: LoadView<ModelSummary>;
  dataWanted: boolean;
  data: LoadView<DataSummary>;
  badSettings: number;
  noTargets: boolean;
}

export function startBlockers(state: StartState): string[] {
  if (state.capability === null) return [t('start.checking')];
  if (state.capability.error !== null) return [t('start.noGpu')];
  const reasons: string[] = [];
  if (!state.modelWanted) reasons.push(t(state.source === 'hub' ? 'start.noHubId' : 'start.noModelFiles'));
  else if (state.model.status === 'failed') reasons.push(t('start.modelFailed'));
  if (!state.dataWanted) reasons.push(t('start.noDataFile'));
  else if (state.data.status === 'failed') reasons.push(t('start.dataFailed'));
  if (state.badSettings > 0) reasons.push(t('start.badSettings'));
  if (state.noTargets) reasons.push(t('start.noTargets'));
  return reasons;
}
