import { useId } from 'react';

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
  return (
    <article className="answer" data-tone={text === null ? 'before' : tone} aria-labelledby={id}>
      <div className="answer-head">
        <h3 id={id}>{title}</h3>
        <span className="quiet">{detail}</span>
      </div>
      {text === null ? <p className="quiet">{empty}</p> : <p className="answer-text">{text}</p>}
    </article>
  );
}
