import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// Cross-origin isolation: threads in WebAssembly and precise timers need both headers.
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig({
  base: './',
  // One page and no routes: a file that is not there is a 404, never the page in its place.
  appType: 'mpa',
  plugins: [react()],
  worker: { format: 'es' },
  server: { host: '127.0.0.1', headers: isolation },
  preview: { host: '127.0.0.1', headers: isolation },
  build: { outDir: 'dist/studio', target: 'es2023', emptyOutDir: true },
});
