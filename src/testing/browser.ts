/** A real Chromium with a page that runs one module of src, for what Node does differently. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Page } from 'playwright';
import { createServer } from 'vite';
import { CHROMIUM_FLAGS, ensureChromium } from '../../scripts/lib/chromium.mjs';

export interface TestBrowser {
  page: Page;
  /** Loads the page again, as a person would. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

export interface TestServer {
  /** The page that loads the module. */
  url: string;
  close(): Promise<void>;
}

/** Serves a page with this module, under the studio's rule that no text is run as code. */
export async function startTestServer(module: string): Promise<TestServer> {
  const cacheDir = await mkdtemp(join(tmpdir(), 'lorikeet-vite-'));
  const server = await createServer({
    configFile: false,
    root: fileURLToPath(new URL('../../', import.meta.url)),
    cacheDir,
    appType: 'custom',
    logLevel: 'error',
    server: { host: '127.0.0.1', port: 0, hmr: false, watch: null },
    optimizeDeps: { include: ['@huggingface/hub', 'idb', 'zod'] },
    plugins: [
      {
        name: 'test-page',
        configureServer: ({ middlewares }) => {
          middlewares.use('/test-page', (_request, response) => {
            response.setHeader('content-type', 'text/html');
            response.setHeader('content-security-policy', "script-src 'self' 'wasm-unsafe-eval'");
            response.end(`<!doctype html><title>test</title><script type="module" src="${module}"></script>`);
          });
        },
      },
    ],
  });
  await server.listen();
  return {
    url: `${server.resolvedUrls?.local[0] ?? ''}test-page`,
    close: async () => {
      await server.close();
      await rm(cacheDir, { recursive: true, force: true });
    },
  };
}

/** Resolves once the page's module has run. Not waitForFunction: it runs text as code in the page. */
export async function untilReady(page: Page): Promise<void> {
  while (!(await page.evaluate(() => 'inBrowser' in globalThis))) await page.waitForTimeout(20);
}

/** Starts the browser on a page with this module. */
export async function startTestBrowser(module: string): Promise<TestBrowser> {
  const server = await startTestServer(module);
  const browser = await chromium.launch({
    executablePath: await ensureChromium(),
    args: CHROMIUM_FLAGS,
  });
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(server.url);
  await untilReady(page);
  return {
    page,
    reload: async () => {
      await page.reload();
      await untilReady(page);
    },
    close: async () => {
      await browser.close();
      await server.close();
    },
  };
}
