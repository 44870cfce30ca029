import { type ReactNode, useId } from 'react';

interface PanelProps {
  /** Name of this place on the page. */
  id?: string;
  title: string;
  hint?: string;
  children: ReactNode;
}

/** One section of the page, with its heading. */
export function Panel({ id, title, hint, children }: PanelProps) {
  const titleId = useId();
  return (
    <section className="panel" id={id} aria-labelledby={titleId}>
      <div className="panel-head">
        <h2 id={titleId}>{title}</h2>
        {hint === undefined ? null : <p className="quiet">{hint}</p>}
      </div>
      {children}
    </section>
  );
}
