/** What the browser test of the error boundary draws in its page; loaded there as a module. */
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { ErrorBoundary } from './error-boundary.tsx';

let broken = true;

function Part() {
  if (broken) throw new Error('no such row');
  return createElement('p', null, 'the part');
}

createRoot(document.body.appendChild(document.createElement('div'))).render(
  createElement(
    'main',
    null,
    createElement(ErrorBoundary, null, createElement(Part)),
    createElement(ErrorBoundary, null, createElement('p', null, 'the rest')),
  ),
);

export const mend = (): void => {
  broken = false;
};

Object.assign(globalThis, { inBrowser: { mend } });
