import { expect, test } from '@playwright/test';
import { answer, downloadAdapter, evaluations, press, status } from './studio.ts';

/** Far above what the run takes, so that a busy machine fails no test; the time itself is printed. */
const PATIENCE = 840_000;

test('one press leads from the embedded model to a trained adapter, without the network', async ({
  page,
  context,
  baseURL,
}) => {
  test.setTimeout(PATIENCE + 60_000);
  const elsewhere: string[] = [];
  await context.route(
    (url) => url.origin !== new URL(baseURL!).origin,
    (route) => {
      elsewhere.push(route.request().url());
      return route.abort('internetdisconnected');
    },
  );
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });

  await page.goto('/');
  const started = Date.now();
  await press(page, 'Start training');
  await expect(status(page)).toHaveText('Done: 54 of 54 steps.', { timeout: PATIENCE });
  const seconds = (Date.now() - started) / 1000;
  process.stderr.write(`The demo run took ${seconds.toFixed(1)} s from the press of the button.\n`);

  const losses = [...(await evaluations(page)).values()];
  test.info().annotations.push({ type: 'evaluation losses', description: losses.join(', ') });
  expect(losses.length).toBeGreaterThanOrEqual(3);
  expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
  await expect(page.getByRole('img', { name: 'Training loss' })).toBeVisible();

  const before = await answer(page, 'Before').textContent();
  const after = await answer(page, 'After').textContent();
  test.info().annotations.push({ type: 'answers', description: `${before} -> ${after}` });
  expect(before).not.toMatch(/arr|matey/i);
  expect(after).toMatch(/arr|matey/i);

  const adapter = await downloadAdapter(page);
  expect(adapter.fileName).toBe('lorikeet-tiny-pirate.tar.gz');
  expect(adapter.paths[0]).toBe('checkpoint.json');
  expect(adapter.paths).toEqual(
    expect.arrayContaining(['adapter_config.json', 'adapter_model.safetensors', 'tokenizer.json']),
  );
  expect(adapter.json('adapter_config.json')).toMatchObject({ peft_type: 'LORA', r: 8, lora_alpha: 16 });
  expect(adapter.json('checkpoint.json')).toMatchObject({ step: 54 });
  await expect(page.getByText('Saved lorikeet-tiny-pirate.tar.gz')).toBeVisible();

  await page.getByLabel('Your question').fill('Where does the owl live?');
  await press(page, 'Ask');
  await expect(answer(page, 'Without')).not.toHaveText(/arr|matey/i);
  await expect(answer(page, 'With your adapter')).toHaveText(/arr|matey/i);

  expect(elsewhere).toEqual([]);
  expect(problems).toEqual([]);
});
