import { CapabilityLine } from './features/capability/capability-line.tsx';
import { CapabilityProblem } from './features/capability/capability-problem.tsx';
import { CheckpointsPanel } from './features/checkpoints/checkpoints-panel.tsx';
import { DropTarget } from './features/checkpoints/drop-target.tsx';
import { InterruptedRun } from './features/checkpoints/interrupted-run.tsx';
import { DataPanel } from './features/data/data-panel.tsx';
import { ExamplesPanel } from './features/examples/examples-panel.tsx';
import { ModelPanel } from './features/model/model-panel.tsx';
import { AskPanel } from './features/run/ask-panel.tsx';
import { ProgressPanel } from './features/run/progress-panel.tsx';
import { RunBar } from './features/run/run-bar.tsx';
import { SamplesPanel } from './features/run/samples-panel.tsx';
import { SettingsPanel } from './features/settings/settings-panel.tsx';
import { t } from './i18n/index.ts';
import { ErrorBoundary } from './ui/error-boundary.tsx';
import { LorikeetMark } from './ui/lorikeet-mark.tsx';

/** The whole page: what to train on the left, the run on the right; below each other on narrow screens. */
export function App() {
  return (
    <div className="page">
      <header className="masthead">
        <div className="brand">
          <LorikeetMark />
          <div>
            <h1>{t('app.name')}</h1>
            <p className="quiet">{t('app.purpose')}</p>
          </div>
        </div>
        <ErrorBoundary>
          <CapabilityLine />
        </ErrorBoundary>
        <p className="privacy">{t('app.privacy')}</p>
      </header>
      <main>
        <ErrorBoundary>
          <InterruptedRun />
        </ErrorBoundary>
        <div className="studio">
          <div className="column">
            <ErrorBoundary>
              <CapabilityProblem />
            </ErrorBoundary>
            <ErrorBoundary>
              <ModelPanel />
            </ErrorBoundary>
            <ErrorBoundary>
              <DataPanel />
            </ErrorBoundary>
          </div>
          <div className="column">
            <div className="column column-settings">
              <ErrorBoundary>
                <SettingsPanel />
              </ErrorBoundary>
            </div>
            <ErrorBoundary>
              <RunBar />
            </ErrorBoundary>
            <ErrorBoundary>
              <ProgressPanel />
            </ErrorBoundary>
            <ErrorBoundary>
              <SamplesPanel />
            </ErrorBoundary>
            <ErrorBoundary>
              <AskPanel />
            </ErrorBoundary>
          </div>
        </div>
        <div className="kept-area">
          <ErrorBoundary>
            <CheckpointsPanel />
          </ErrorBoundary>
          <ErrorBoundary>
            <ExamplesPanel />
          </ErrorBoundary>
        </div>
      </main>
      <ErrorBoundary>
        <DropTarget />
      </ErrorBoundary>
    </div>
  );
}
