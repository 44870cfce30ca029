import { useState } from 'react';
import { useStore } from 'zustand';
import { askModel } from '../../client/run.ts';
import { readWireError } from '../../client/wire-error.ts';
import type { ErrorFields } from '../../errors.ts';
import { t } from '../../i18n/index.ts';
import { runStore } from '../../stores/run-store.ts';
import { hasAdapter } from '../../stores/run-view.ts';
import { AnswerCard } from '../../ui/answer-card.tsx';
import { Button } from '../../ui/button.tsx';
import { ErrorNote } from '../../ui/error-note.tsx';
import { Panel } from '../../ui/panel.tsx';
import { TextField } from '../../ui/text-field.tsx';

const MAX_TOKENS = 64;

/** A question of the person's own, answered with and without the adapter. There once a run has ended. */
export function AskPanel() {
  const there = useStore(runStore, hasAdapter);
  return there ? <AskForm /> : null;
}

function AskForm() {
  const [prompt, setPrompt] = useState('');
  const [answers, setAnswers] = useState<{ base: string; tuned: string } | null>(null);
  const [error, setError] = useState<ErrorFields | null>(null);
  const [busy, setBusy] = useState(false);
  const ask = async (): Promise<void> => {
    if (busy || prompt.trim() === '') return;
    setBusy(true);
    setError(null);
    try {
      const tuned = await askModel(prompt, 1, MAX_TOKENS);
      setAnswers({ tuned, base: await askModel(prompt, 0, MAX_TOKENS) });
    } catch (thrown) {
      setError(readWireError(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title={t('ask.title')} hint={t('ask.hint')}>
      <TextField label={t('ask.prompt')} value={prompt} onChange={setPrompt} onEnter={() => void ask()}>
        <Button unavailable={busy || prompt.trim() === ''} onPress={() => void ask()}>
          {t(busy ? 'ask.asking' : 'ask.ask')}
        </Button>
      </TextField>
      {error === null ? null : <ErrorNote error={error} />}
      {answers === null ? null : (
        <div className="compare" data-columns="2" aria-live="polite">
          <AnswerCard
            title={t('ask.base')}
            detail={t('ask.baseDetail')}
            tone="before"
            text={answers.base}
            empty=""
          />
          <AnswerCard
            title={t('ask.tuned')}
            detail={t('ask.tunedDetail')}
            tone="after"
            text={answers.tuned}
            empty=""
          />
        </div>
      )}
    </Panel>
  );
}
