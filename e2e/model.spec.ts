import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, type Route } from '@playwright/test';
import { openReadyStudio, press, section } from './studio.ts';

const TINY = join(import.meta.dirname, '../public/models/lorikeet-tiny');
const FILES = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'model.safetensors',
];

test('a model folder is loaded under its own name', async ({ page }) => {
  await openReadyStudio(page);
  await page.getByRole('radio', { name: 'Folder or files' }).check();
  await page.getByLabel('Folder', { exact: true }).setInputFiles(TINY);
  const model = section(page, 'Model');
  await expect(model.getByRole('heading', { name: 'lorikeet-tiny' })).toBeVisible();
  await expect(model.getByText('Llama', { exact: true })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Start training' })).toBeEnabled();
});

test('a model that cannot be trained is refused by name before its weights are read', async ({ page }) => {
  await openReadyStudio(page);
  await page.getByRole('radio', { name: 'Folder or files' }).check();
  const file = (name: string, text: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });
  await page
    .getByLabel('Single files')
    .setInputFiles([
      file('config.json', '{"architectures": ["BloomForCausalLM"], "model_type": "bloom"}'),
      file('tokenizer.json', await readFile(join(TINY, 'tokenizer.json'), 'utf8')),
      file('model.safetensors', 'not read'),
    ]);
  const note = section(page, 'Model').getByRole('alert');
  await expect(note).toContainText('BloomForCausalLM');
  await expect(note).toContainText('MODEL_UNSUPPORTED');
  await expect(page.getByRole('button', { name: 'Start training' })).toBeDisabled();
});

/** The routes of the Hub that a download uses, for one model. */
async function serveHub(route: Route, id: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
  const commit = 'c0ffee'.padEnd(40, '0');
  const { pathname } = new URL(route.request().url());
  const headers = {
    'access-control-allow-origin': '*',
    'access-control-allow-headers': '*',
    'access-control-expose-headers': '*, etag, content-range, x-linked-size',
  };
  const etag = (bytes: Buffer): string => createHash('sha1').update(bytes).digest('hex');
  if (pathname === `/api/models/${id}/revision/main`)
    return route.fulfill({
      headers,
      json: { _id: '1', id, sha: commit, private: false, downloads: 0, likes: 0 },
    });
  if (pathname === `/api/models/${id}/tree/${commit}`) {
    const list = [...files].map(([path, bytes]) => ({
      type: 'file',
      oid: etag(bytes),
      size: bytes.length,
      path,
    }));
    return route.fulfill({ headers, json: list });
  }
  const bytes = files.get(pathname.slice(`/${id}/resolve/${commit}/`.length));
  if (bytes === undefined) return route.fulfill({ status: 404, headers, json: { error: 'not found' } });
  const [, from = '0', to = ''] =
    /^bytes=(\d+)-(\d*)$/.exec((await route.request().headerValue('range')) ?? '') ?? [];
  const part = bytes.subarray(Number(from), to === '' ? bytes.length : Number(to) + 1);
  const range = `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`;
  return route.fulfill({
    status: 206,
    headers: { ...headers, etag: `"${etag(bytes)}"`, 'x-repo-commit': commit, 'content-range': range },
    body: part,
  });
}

test('a model is fetched from the Hub by its id, and comes from the cache afterwards', async ({
  page,
  context,
}) => {
  const id = 'somebody/tiny-model';
  const files = new Map(
    await Promise.all(FILES.map(async (name) => [name, await readFile(join(TINY, name))] as const)),
  );
  const asked: string[] = [];
  await context.route('https://huggingface.co/**', (route) => {
    asked.push(new URL(route.request().url()).pathname);
    return serveHub(route, id, files);
  });
  const fetchModel = async (): Promise<void> => {
    await openReadyStudio(page);
    await page.getByRole('radio', { name: 'Hugging Face Hub' }).check();
    await page.getByLabel('Hub id').fill(id);
    await press(page, 'Fetch');
    await expect(section(page, 'Model').getByRole('heading', { name: id })).toBeVisible();
    await expect(section(page, 'Data').getByRole('list', { name: 'What is learned' })).toBeVisible();
  };
  await fetchModel();
  expect(asked.some((path) => path.endsWith('/model.safetensors'))).toBe(true);
  asked.length = 0;
  await fetchModel();
  expect(asked.filter((path) => path.includes('/resolve/'))).toEqual([]);
});

test('a download that takes long holds nobody up who wants another model', async ({ page, context }) => {
  const id = 'somebody/slow-model';
  const files = new Map(
    await Promise.all(FILES.map(async (name) => [name, await readFile(join(TINY, name))] as const)),
  );
  await context.route('https://huggingface.co/**', async (route) => {
    // Its weights never come.
    if (!route.request().url().endsWith('.safetensors')) await serveHub(route, id, files);
  });
  await openReadyStudio(page);
  await page.getByRole('radio', { name: 'Hugging Face Hub' }).check();
  await page.getByLabel('Hub id').fill(id);
  const weights = page.context().waitForEvent('request', (request) => request.url().endsWith('.safetensors'));
  await press(page, 'Fetch');
  await weights;
  await page.getByRole('radio', { name: 'Embedded model' }).check();
  await expect(section(page, 'Model').getByRole('heading', { name: 'lorikeet-tiny' })).toBeVisible();
  await expect(section(page, 'Model').getByRole('alert')).toBeHidden();
  await expect(section(page, 'Data').getByRole('list', { name: 'What is learned' })).toBeVisible();
});
