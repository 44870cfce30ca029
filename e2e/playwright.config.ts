import { defineConfig } from '@playwright/test';
import { CHROMIUM_FLAGS, findChromium } from '../scripts/lib/chromium.mjs';

const executablePath = await findChromium();
if (executablePath === null) throw new Error('No Chromium was found. Run npm test, which installs one.');

// The built studio as npm start serves it, in a full Chromium on the software adapter. One test at a time: they compute.
export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  outputDir: '../test-results',
  workers: 1,
  retries: 0,
  forbidOnly: true,
  timeout: 300_000,
  expect: { timeout: 30_000 },
  // The port is the first free one: start.mjs prints it, Playwright keeps it in LORIKEET_PORT.
  webServer: {
    command: 'node ../scripts/start.mjs',
    wait: { stdout: /Lorikeet is at http:\/\/127\.0\.0\.1:(?<lorikeet_port>\d+)\// },
    timeout: 180_000,
  },
  use: {
    baseURL: `http://127.0.0.1:${process.env['LORIKEET_PORT']}/`,
    launchOptions: { executablePath, args: CHROMIUM_FLAGS },
    screenshot: 'only-on-failure',
    actionTimeout: 60_000,
  },
});
