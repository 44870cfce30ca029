import { expect, test } from 'vitest';
import { barLine, createReporter, type Reporter } from './progress.ts';

function recorded(
  isTTY: boolean,
  quiet = false,
): { report: Reporter; text: () => string; clock: { time: number } } {
  let written = '';
  const clock = { time: 0 };
  const terminal = { isTTY, columns: 60, write: (text: string) => (written += text) };
  return { report: createReporter({ quiet }, terminal, () => clock.time), text: () => written, clock };
}

test('a file gets plain lines, not too many, and always the last', () => {
  const { report, text, clock } = recorded(false);
  report.progress('Training', 1, 100, 'loss 2');
  report.progress('Training', 2, 100, 'loss 1.9');
  clock.time = 2500;
  report.progress('Training', 50, 100, 'loss 1.5');
  report.progress('Training', 100, 100, 'loss 1');
  report.end();
  expect(text()).toBe('Training 1%  loss 2\nTraining 50%  loss 1.5\nTraining 100%  loss 1\n');
});

test('another label comes at once', () => {
  const { report, text } = recorded(false);
  report.progress('Loading', 1, 4);
  report.progress('Training', 1, 4);
  expect(text()).toBe('Loading 25%\nTraining 25%\n');
});

test('a terminal gets a bar that is drawn over, and ends with it', () => {
  const { report, text, clock } = recorded(true);
  report.progress('Training', 1, 2, 'a');
  clock.time = 100;
  report.progress('Training', 2, 2, 'b');
  expect(text()).toBe(`${barLine('Training', 0.5, 'a', 60)}\r\u001b[K${barLine('Training', 1, 'b', 60)}\n`);
});

test('a note takes the place of the bar', () => {
  const { report, text } = recorded(true);
  report.progress('Training', 1, 2);
  report.note('careful');
  expect(text().endsWith('\r\u001b[Kcareful\n')).toBe(true);
});

test('a bar that was left half-way gives its line free', () => {
  const { report, text } = recorded(true);
  report.progress('Training', 1, 2);
  report.end();
  report.end();
  expect(text()).toBe(`${barLine('Training', 0.5, '', 60)}\n`);
});

test('the bar fits the terminal', () => {
  expect(barLine('Training', 0.5, 'x'.repeat(100), 60)).toHaveLength(59);
  expect(barLine('T', 0.5, '', 80)).toBe('T [############------------] 50%');
  expect(barLine('T', 2, '', 80)).toContain('[########################]');
});

test('a terminal that does not know its width has 80 columns', () => {
  let written = '';
  const terminal = { isTTY: true, columns: 0, write: (text: string) => (written += text) };
  createReporter({ quiet: false }, terminal).progress('T', 1, 2, 'x'.repeat(100));
  expect(written).toHaveLength(79);
});

test('quiet says nothing', () => {
  const { report, text } = recorded(true, true);
  report.note('x');
  report.progress('y', 1, 1);
  report.end();
  expect(text()).toBe('');
});
