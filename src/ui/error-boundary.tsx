import { Component, type ReactNode } from 'react';
import { toErrorFields } from '../errors.ts';
import { t } from '../i18n/index.ts';
import { Button } from './button.tsx';
import { ErrorNote } from './error-note.tsx';

interface State {
  /** What a part threw while it was drawn; null for nothing. */
  failure: { thrown: unknown } | null;
}

/**
 * Keeps a part that cannot be drawn from taking the rest of the page with it. A run goes on in its worker meanwhile, and
 * what is known of it is in the stores, so that the part can be drawn again.
 */
export class ErrorBoundary extends Component<{ children: ReactNode }, State> {
  override state: State = { failure: null };

  static getDerivedStateFromError(thrown: unknown): State {
    return { failure: { thrown } };
  }

  override render(): ReactNode {
    const { failure } = this.state;
    if (failure === null) return this.props.children;
    const { code, message, fix } = toErrorFields(failure.thrown);
    return (
      <ErrorNote error={{ code, message: t('page.broken', { message }), fix }}>
        <Button onPress={() => this.setState({ failure: null })}>{t('page.drawAgain')}</Button>
      </ErrorNote>
    );
  }
}
