/**
 * The whole engine against transformers + PEFT: logits, loss, every LoRA gradient, ten AdamW steps, per family, on Dawn
 * in Node and in Chromium. Tolerances: engine.md section 11.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestBrowser, type TestBrowser } from '../testing/browser.ts';
import type { inBrowser as InBrowser } from './testing/in-browser.ts';
import { measureParity, PARITY_FILES, type ParityFigures } from './testing/parity.ts';
import { testDevice, useGpu } from './testing/gpu.ts';

useGpu();

const folder = new URL('../../e2e/fixtures/parity/', import.meta.url).pathname;

function expectParity(figures: ParityFigures): void {
  expect(figures.logitsMaxAbs, 'logits').toBeLessThan(1e-3);
  expect(figures.greedyEqual, 'greedy answer').toBe(true);
  expect(figures.severalEqual, 'answers side by side').toBe(true);
  expect(figures.lossRelative, 'loss').toBeLessThan(1e-5);
  expect(figures.gradientRelativeL2, 'gradients').toBeLessThan(1e-4);
  expect(figures.lossesRelative, 'losses of ten steps').toBeLessThan(1e-4);
  expect(figures.gradNormsRelative, 'gradient norms').toBeLessThan(1e-4);
  expect(figures.afterRelativeL2, 'adapter after ten steps').toBeLessThan(1e-4);
  expect(figures.leakedBytes).toBe(0);
}

const cases = [
  'llama',
  'llama-rope3',
  'llama-linear',
  'llama-untied',
  'llama-bf16',
  'mistral',
  'qwen2',
  'qwen3',
  'gpt2',
  'gpt2-f16',
];

describe('on Dawn in Node', () => {
  for (const name of cases) {
    test(`${name} computes what transformers and PEFT compute`, async () => {
      const files = await Promise.all(
        PARITY_FILES.map(
          async (path) => [path, Uint8Array.from(await readFile(`${folder}${name}/${path}`))] as const,
        ),
      );
      const device = testDevice();
      device.pushErrorScope('validation');
      expectParity(await measureParity(device, new Map(files)));
      expect((await device.popErrorScope())?.message ?? 'no GPU error').toBe('no GPU error');
    });
  }
});

describe('in Chromium', () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await startTestBrowser('/src/engine/testing/in-browser.ts');
  });
  afterAll(() => browser.close());

  test('llama computes what transformers and PEFT compute', async () => {
    const { adapter, errors, figures } = await browser.page.evaluate(() =>
      (globalThis as unknown as { inBrowser: typeof InBrowser }).inBrowser.parity('llama'),
    );
    process.stderr.write(`Chromium: ${adapter}\n`);
    expect(errors).toEqual([]);
    expectParity(figures);
  });
});
