import { useId } from 'react';
import { t } from '../i18n/index.ts';

interface AnswerCardProps {
  title: string;
  /** Which weights answered, and when. */
  detail: string;
  tone: 'before' | 'after';
  /** Null while there is none. */
  text: string | null;
  /** Shown instead of a text. */
  empty: string;
}

/** One answer of the model, with the name of what gave it. */
export function AnswerCard({ title, detail, tone, text, empty }: AnswerCardProps) {
  const id = useId();
  const words = text === '' ? t('answer.nothing') : text;
  const quiet = text === null || text === '';
  return (
    <article className="answer" data-tone={text === null ? 'before' : tone} aria-labelledby={id}>
      <div className="answer-head">
        <h3 id={id}>{title}</h3>
        <span className="quiet">{detail}</span>
      </div>
      <p className={quiet ? 'quiet' : 'answer-text'}>{words ?? empty}</p>
    </article>
  );
}
