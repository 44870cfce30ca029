import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../testing/browser.ts';
import { startKillableBrowser } from '../testing/killable-browser.ts';
import { KillLedger } from './testing-kill.ts';
import { callInPage } from './testing-page.ts';

/** The long form sets this; the profile goes on from one kill to the next. */
const KILLS = Number(process.env['LORIKEET_BROWSER_KILLS'] ?? 4);
let folder: string;
let server: TestServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-kill-'));
  server = await startTestServer('/src/storage/testing-in-browser.ts');
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

it(
  `120: loses nothing and shows nothing half over ${String(KILLS)} kills of the browser`,
  async () => {
    const ledger = new KillLedger();
    let cutSaves = 0;
    for (let kill = 0; kill <= KILLS; kill++) {
      let changes = 0;
      const browser = await startKillableBrowser(server.url, join(folder, 'profile'), (page) =>
        page.exposeFunction('report', (line: string) => {
          ledger.note(line);
          changes += 1;
        }),
      );
      const found = await callInPage(browser.page, 'inspect', 'killed');
      cutSaves += found.unfinished;
      expect({ kill, wrong: ledger.judge(found) }).toEqual({ kill, wrong: [] });
      if (kill === KILLS) {
        await browser.kill();
        break;
      }
      // Killed while it works: the call does not come back.
      const working = callInPage(browser.page, 'work', 'killed', kill + 1).catch(String);
      const wanted = 1 + Math.floor(Math.random() * 12);
      const deadline = performance.now() + 30_000;
      while (changes < wanted && performance.now() < deadline) await browser.page.waitForTimeout(5);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 150));
      await browser.kill();
      expect(await working).toMatch(/closed|crash/i);
    }
    console.log(
      `${String(KILLS)} kills: ${String(ledger.saved)} saved, ${String(ledger.deleted)} deleted, ${String(cutSaves)} saves cut`,
    );
    expect(ledger.saved).toBeGreaterThan(KILLS);
  },
  (KILLS + 1) * 90_000,
);
