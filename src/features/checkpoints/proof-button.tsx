import { useStore } from 'zustand';
import { proveResume } from '../../client/resume.ts';
import { formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import { Button } from '../../ui/button.tsx';

/** The proof that a resumed run is the run, on this GPU with this model and data. */
export function ProofButton() {
  const { proof, busy } = useStore(keptStore);
  const running = useStore(runStore, ({ state }) => isBusy(state));
  return (
    <div className="group">
      <div className="kept-foot">
        <Button unavailable={running || busy !== null} onPress={() => void proveResume()}>
          {t('kept.prove')}
        </Button>
        <p className="small quiet">{t('kept.proveHint')}</p>
      </div>
      {proof === null ? null : (
        <p className="notice" aria-live="polite">
          {proof.equal
            ? t('kept.proofEqual', {
                values: formatCount(proof.values),
                steps: formatCount(proof.before + proof.after),
              })
            : t('kept.proofDiffers', { count: formatCount(proof.differences.length) })}
        </p>
      )}
    </div>
  );
}
