import { defineConfig } from 'vite';

// Programs for Node (`vite build --ssr ENTRY`), so that `.wgsl?raw` imports work there as in the page.
export default defineConfig({
  publicDir: false,
  build: { target: 'node20', rollupOptions: { output: { entryFileNames: 'main.js' } } },
});
