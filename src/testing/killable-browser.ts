/** A Chromium with a profile on disk that can be killed like a program that crashes, and started again. */
import { spawn } from 'node:child_process';
import { chromium, type Page } from 'playwright';
import { CHROMIUM_FLAGS, ensureChromium } from '../../scripts/lib/chromium.mjs';
import { untilReady } from './browser.ts';

export interface KillableBrowser {
  page: Page;
  /** SIGKILL to the browser and all its processes; resolves once they are gone. */
  kill(): Promise<void>;
}

/** Starts the browser on this page; `prepare` sees the page before anything is loaded. */
export async function startKillableBrowser(
  url: string,
  profileDir: string,
  prepare: (page: Page) => Promise<unknown>,
): Promise<KillableBrowser> {
  const args = [
    ...CHROMIUM_FLAGS,
    `--user-data-dir=${profileDir}`,
    '--remote-debugging-port=0',
    'about:blank',
  ];
  // A process group of its own, so that renderers and helpers die with it.
  const child = spawn(await ensureChromium(), args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const endpoint = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stderr.on('data', (data: Buffer) => {
      text += data.toString();
      const found = /DevTools listening on (ws:\S+)/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('close', () => reject(new Error(`Chromium did not start:\n${text}`)));
  });
  const browser = await chromium.connectOverCDP(endpoint);
  const context = browser.contexts()[0] ?? (await browser.newContext());
  const page = await context.newPage();
  await prepare(page);
  await page.goto(url);
  await untilReady(page);
  return {
    page,
    kill: async () => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      await gone;
    },
  };
}
