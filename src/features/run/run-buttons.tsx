import { pauseTraining, resumeTraining, startTraining, stopTraining } from '../../client/run.ts';
import { t } from '../../i18n/index.ts';
import { canDownload, hasAdapter, type RunView } from '../../stores/run-view.ts';
import { Button } from '../../ui/button.tsx';
import { DownloadButton } from './download-button.tsx';
import { RUN_PANEL_ID } from './run-panel-id.ts';

/** The run may be far below the choices or far above the settings: goes there when it is out of sight. */
function showRun(): void {
  const run = document.getElementById(RUN_PANEL_ID);
  if (run === null) return;
  const { top } = run.getBoundingClientRect();
  if (top < 0 || top > window.innerHeight / 2) run.scrollIntoView();
}

interface RunButtonsProps {
  run: RunView;
  blocked: boolean;
  /** Id of the text that says why Start is blocked. */
  reasonId: string;
}

/** The buttons that fit the state. The first keeps its place, so that the focus stays when its task changes. */
export function RunButtons({ run, blocked, reasonId }: RunButtonsProps) {
  const { state } = run;
  if (state === 'running' || state === 'paused' || state === 'stopping') {
    return (
      <div className="run-buttons">
        <Button
          key="main"
          look="primary"
          unavailable={state === 'stopping' || run.pausing}
          onPress={() => void (state === 'paused' ? resumeTraining() : pauseTraining())}
        >
          {t(state === 'paused' ? 'run.resume' : 'run.pause')}
        </Button>
        <Button unavailable={state === 'stopping'} onPress={() => void stopTraining()}>
          {t('run.stop')}
        </Button>
        {canDownload(run) ? <DownloadButton look="plain" ready /> : null}
      </div>
    );
  }
  const finished = hasAdapter(run);
  const start = (
    <Button
      key={finished ? 'again' : 'main'}
      look={finished ? 'plain' : 'primary'}
      unavailable={blocked || state === 'preparing'}
      describedBy={blocked ? reasonId : undefined}
      onPress={() => {
        showRun();
        void startTraining();
      }}
    >
      {t('run.start')}
    </Button>
  );
  // With an adapter there, its download comes first: a press meant for Stop must not begin a new run.
  return (
    <div className="run-buttons">
      {finished ? null : start}
      <DownloadButton
        key={finished ? 'main' : 'download'}
        look={finished ? 'primary' : 'plain'}
        ready={finished}
      />
      {finished ? start : null}
    </div>
  );
}
