import type { ReactNode } from 'react';

interface ErrorNoteProps {
  error: { code: string; message: string; fix: string };
  /** Something to press, such as `Try again`. */
  children?: ReactNode;
}

/** What is wrong and what to do about it. */
export function ErrorNote({ error, children }: ErrorNoteProps) {
  return (
    <div className="error-note" role="alert">
      <p className="error-title">{error.message}</p>
      <p>{error.fix}</p>
      <p className="error-code">{error.code}</p>
      {children === undefined ? null : <div>{children}</div>}
    </div>
  );
}
