// A full Chromium for the end-to-end tests: found in the usual places, or installed.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, canApt } from './apt.mjs';
import { ROOT } from './paths.mjs';
import { capture, runNode } from './run.mjs';

/**
 * The flags under which Chromium has WebGPU on a machine without a GPU, and stays off the network by itself.
 * No others: sets that ask for ANGLE on Vulkan give no adapter.
 */
export const CHROMIUM_FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

function usualPlaces() {
  if (process.platform === 'darwin') {
    const apps = ['Google Chrome', 'Chromium', 'Microsoft Edge'];
    return apps.map((app) => `/Applications/${app}.app/Contents/MacOS/${app}`);
  }
  if (process.platform === 'win32') {
    const roots = ['PROGRAMFILES', 'PROGRAMFILES(X86)', 'LOCALAPPDATA'].map(
      (name) => process.env[name] ?? '',
    );
    const apps = ['Google\\Chrome\\Application\\chrome.exe', 'Chromium\\Application\\chrome.exe'];
    return roots.filter((root) => root !== '').flatMap((root) => apps.map((app) => join(root, app)));
  }
  const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
  return [...names.map((name) => `/usr/bin/${name}`), '/opt/google/chrome/chrome', '/snap/bin/chromium'];
}

/**
 * Whether this file is a browser that starts: some distributions put a note in its place.
 * @param {string} path
 */
function starts(path) {
  if (!existsSync(path)) return false;
  // Chrome on Windows opens a window instead of printing its version.
  return process.platform === 'win32' || capture(path, ['--version'], { timeout: 20_000 }) !== null;
}

/** The path of an installed Chromium, or null: LORIKEET_CHROMIUM, the usual places, Playwright's own. */
export async function findChromium() {
  const named = process.env['LORIKEET_CHROMIUM'];
  if (named) {
    if (starts(named)) return named;
    throw new Error(
      `LORIKEET_CHROMIUM is ${named}, which does not start. Set it to a Chromium, or unset it.`,
    );
  }
  const usual = usualPlaces().find(starts);
  if (usual) return usual;
  const { chromium } = await import('playwright');
  return starts(chromium.executablePath()) ? chromium.executablePath() : null;
}

async function installByPlaywright() {
  console.error('Installing Chromium (playwright install chromium) ...');
  const script = join(ROOT, 'node_modules/playwright/cli.js');
  await runNode(script, ['install', '--no-shell', 'chromium'], { stdio: ['ignore', 2, 2] });
}

/** The path of a Chromium; installs one where there is none. */
export async function ensureChromium() {
  const found = await findChromium();
  if (found) return found;
  // The distribution's package brings the libraries that a bare container lacks, so it comes first where it may.
  for (const install of canApt()
    ? [() => aptInstall('chromium'), installByPlaywright]
    : [installByPlaywright]) {
    await install();
    const path = await findChromium();
    if (path) return path;
  }
  throw new Error('No Chromium was found and none could be installed. Set LORIKEET_CHROMIUM to its path.');
}
