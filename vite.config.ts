import { readFileSync } from 'node:fs';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

// Cross-origin isolation: threads in WebAssembly and precise timers need both headers.
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const page = readFileSync(new URL('index.html', import.meta.url), 'utf8');

// The page's own policy, sent as a header too: a worker obeys that of its own answer, not that of the page.
const policy = { 'Content-Security-Policy': /content="(default-src[^"]*)"/.exec(page)?.[1] ?? '' };

/** Hot reloading puts scripts and styles into the page itself; the built page allows neither. */
const policyForDevelopment: Plugin = {
  name: 'policy-for-development',
  apply: 'serve',
  transformIndexHtml: (html) =>
    html
      .replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
      .replace("default-src 'self'", "default-src 'self'; style-src 'self' 'unsafe-inline'"),
};

export default defineConfig({
  base: './',
  // One page and no routes: a file that is not there is a 404, never the page in its place.
  appType: 'mpa',
  plugins: [react(), policyForDevelopment],
  worker: { format: 'es' },
  server: { host: '127.0.0.1', headers: isolation },
  preview: { host: '127.0.0.1', headers: { ...isolation, ...policy } },
  build: { outDir: 'dist/studio', target: 'es2023', emptyOutDir: true },
});
