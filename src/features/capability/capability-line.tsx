import { useStore } from 'zustand';
import type { Capability } from '../../../workers/api.ts';
import { formatBytes } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { capabilityStore } from '../../stores/capability-store.ts';

/** One line on what computes here; why training cannot run stands in `CapabilityProblem`. */
export function CapabilityLine() {
  const capability = useStore(capabilityStore, (state) => state.capability);
  return (
    <p className="capability">
      <span className="capability-dot" data-kind={kindOf(capability)} aria-hidden="true" />
      <span>{describe(capability)}</span>
    </p>
  );
}

function kindOf(capability: Capability | null): 'fast' | 'slow' | 'none' {
  if (capability === null || capability.gpu === null || capability.error !== null) return 'none';
  return capability.gpu.software ? 'slow' : 'fast';
}

function describe(capability: Capability | null): string {
  if (capability === null) return t('capability.checking');
  if (capability.gpu === null) return t('capability.none');
  const { name, software, maxBindingSize } = capability.gpu;
  const limit = formatBytes(maxBindingSize);
  return software ? t('capability.software', { name, limit }) : t('capability.gpu', { name, limit });
}
