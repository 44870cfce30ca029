import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { metricsLine, openMetrics } from './metrics-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'lorikeet-metrics-'));
afterAll(() => rmSync(folder, { recursive: true }));

const STEP = {
  step: 1,
  epoch: 0.5,
  loss: 2,
  lr: 1e-4,
  gradNorm: 1.5,
  tokens: 100,
  trainedTokens: 60,
  seconds: 3,
  tokensPerSecond: 33,
  memoryBytes: 1000,
};

test('a line has the figures of the step, and the evaluation where there was one', () => {
  const line =
    '{"step":1,"epoch":0.5,"loss":2,"lr":0.0001,"gradNorm":1.5,"tokens":100,"trainedTokens":60,"seconds":3';
  expect(metricsLine(STEP)).toBe(`${line}}`);
  expect(metricsLine({ ...STEP, evalLoss: 1.25 })).toBe(`${line},"evalLoss":1.25}`);
});

test('the file is made with its folder, and written step by step', () => {
  const path = join(folder, 'new', 'metrics.jsonl');
  const file = openMetrics(path);
  file.write(STEP);
  expect(readFileSync(path, 'utf8')).toBe(`${metricsLine(STEP)}\n`);
  file.write({ ...STEP, step: 2 });
  file.close();
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(3);
});

test('a path that cannot be written is found at once', () => {
  expect(() => openMetrics(folder)).toThrowError(
    expect.objectContaining({
      code: 'FILE_WRITE_FAILED',
      message: expect.stringContaining(folder) as string,
    }) as Error,
  );
});

test('without a path nothing is written', () => {
  const file = openMetrics(undefined);
  expect(() => {
    file.write(STEP);
    file.close();
  }).not.toThrow();
});

test('a run that goes on keeps the lines up to its step, and drops later and cut-off ones', () => {
  const path = join(folder, 'resumed.jsonl');
  const line = (step: number): string => `${metricsLine({ ...STEP, step })}\n`;
  for (const before of [
    line(1) + line(2) + line(3),
    `${line(1)}${line(2)}{"step":3,"lo`,
    line(1) + line(2),
  ]) {
    writeFileSync(path, before);
    const file = openMetrics(path, 2);
    file.write({ ...STEP, step: 3, loss: 1 });
    file.close();
    expect(readFileSync(path, 'utf8')).toBe(
      `${line(1)}${line(2)}${metricsLine({ ...STEP, step: 3, loss: 1 })}\n`,
    );
  }
  writeFileSync(path, line(1));
  openMetrics(path).close();
  expect(readFileSync(path, 'utf8')).toBe('');
  const fresh = join(folder, 'fresh.jsonl');
  openMetrics(fresh, 2).close();
  expect(readFileSync(fresh, 'utf8')).toBe('');
});
