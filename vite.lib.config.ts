import { defineConfig } from 'vite';

// The package's own modules: for Node (`--mode node`, dependencies left to node_modules) and for browsers (`--mode browser`).
export default defineConfig(({ mode }) =>
  mode === 'browser'
    ? {
        publicDir: false,
        base: './',
        build: {
          target: 'es2022',
          lib: {
            entry: {
              index: 'src/lib/browser.ts',
              autodiff: 'src/autodiff/index.ts',
              recipes: 'src/recipes/index.ts',
            },
            formats: ['es'],
          },
        },
      }
    : {
        publicDir: false,
        build: {
          target: 'node20',
          ssr: true,
          rollupOptions: {
            input: {
              index: 'src/lib/node.ts',
              autodiff: 'src/autodiff/index.ts',
              recipes: 'src/recipes/index.ts',
            },
            output: { entryFileNames: '[name].js' },
          },
        },
      },
);
