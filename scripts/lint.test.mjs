// The lint rules hold a boundary only if they fire: each case is a file that must be refused, or must pass.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ROOT } from './lib/paths.mjs';

const IMPORTS = 'eslint(no-restricted-imports)';
const GLOBALS = 'eslint(no-restricted-globals)';

/** @type {Array<[file: string, code: string, rule: string]>} path, source, and the rule that must fire */
const REFUSED = [
  ['src/formats/a.ts', `import { x } from 'react'; export const y = x;`, IMPORTS],
  ['src/formats/b.ts', `import { x } from '../engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/formats/c.ts', `import { x } from '../data/types.ts'; export const y = x;`, IMPORTS],
  ['src/formats/f.ts', `export const y = fetch('x');`, GLOBALS],
  ['src/data/a.ts', `import { x } from 'node:fs'; export const y = x;`, IMPORTS],
  ['src/data/b.ts', `export const y = document.title;`, GLOBALS],
  ['src/data/c.ts', `import type { X } from '../stores/x.ts'; export const y: X | null = null;`, IMPORTS],
  ['src/estimate/a.ts', `import { x } from '@huggingface/hub'; export const y = x;`, IMPORTS],
  ['src/engine/gpu/a.ts', `export const y = navigator.gpu;`, GLOBALS],
  ['src/engine/gpu/b.ts', `export const y = window.name;`, GLOBALS],
  ['src/engine/gpu/c.ts', `export const y = self.name;`, GLOBALS],
  ['src/engine/gpu/d.ts', `export const y = localStorage.length;`, GLOBALS],
  ['src/engine/gpu/e.ts', `requestAnimationFrame(() => undefined);`, GLOBALS],
  ['src/engine/gpu/f.ts', `import { x } from 'node:fs'; export const y = x;`, IMPORTS],
  ['src/engine/gpu/g.ts', `import { x } from '../../storage/x.ts'; export const y = x;`, IMPORTS],
  ['src/engine/gpu/h.ts', `import { x } from '../../formats/x.ts'; export const y = x;`, IMPORTS],
  ['src/engine/gpu/k.ts', `import { create } from 'webgpu'; export const y = create;`, IMPORTS],
  ['src/engine/ops/a.ts', `export const y = process.env;`, GLOBALS],
  ['src/engine/train/a.ts', `import { x } from 'react-dom/client'; export const y = x;`, IMPORTS],
  ['src/engine/gpu/l.ts', `import { x } from '../../run/x.ts'; export const y = x;`, IMPORTS],
  ['src/run/a.ts', `import { x } from '../storage/x.ts'; export const y = x;`, IMPORTS],
  ['src/run/b.ts', `import { x } from 'node:fs'; export const y = x;`, IMPORTS],
  ['src/run/c.ts', `import { x } from '../engine/train/x.ts'; export const y = x;`, IMPORTS],
  ['src/run/d.ts', `export const y = fetch('x');`, GLOBALS],
  ['src/run/h.ts', `import { x } from '../checkpoints/x.ts'; export const y = x;`, IMPORTS],
  ['src/checkpoints/a.ts', `import { x } from '../storage/folder-backend.ts'; export const y = x;`, IMPORTS],
  ['src/checkpoints/b.ts', `export const y = navigator.storage;`, GLOBALS],
  ['src/storage/e.ts', `import { x } from '../checkpoints/x.ts'; export const y = x;`, IMPORTS],
  ['src/features/model/g.tsx', `import { x } from '../../run/x.ts'; export const y = x;`, IMPORTS],
  ['src/storage/a.ts', `import { x } from '../engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/storage/b.ts', `import { x } from 'node:fs'; export const y = x;`, IMPORTS],
  ['src/storage/c.ts', `import { x } from './node-fs.ts'; export const y = x;`, IMPORTS],
  ['src/storage/d.ts', `import { x } from './folder-backend.ts'; export const y = x;`, IMPORTS],
  ['src/storage/folder-x.ts', `import { x } from 'idb'; export const y = x;`, IMPORTS],
  [
    'workers/e.worker.ts',
    `import { x } from '../src/storage/folder-backend.ts'; export const y = x;`,
    IMPORTS,
  ],
  ['src/hub/a.ts', `import { x } from 'react'; export const y = x;`, IMPORTS],
  ['src/api/a.ts', `import { x } from '../engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/api/b.ts', `import { x } from 'comlink'; export const y = x;`, IMPORTS],
  ['src/autodiff/a.ts', `import { x } from '../api/x.ts'; export const y = x;`, IMPORTS],
  ['src/recipes/a.ts', `import { x } from '../engine/index.ts'; export const y = x;`, IMPORTS],
  ['src/recipes/b.ts', `import { x } from '../data/x.ts'; export const y = x;`, IMPORTS],
  ['src/recipes/c.ts', `export const y = process.env;`, GLOBALS],
  ['src/api/f.ts', `import { x } from '../recipes/x.ts'; export const y = x;`, IMPORTS],
  ['src/autodiff/b.ts', `export const y = process.env;`, GLOBALS],
  ['e2e/remote/a.test.ts', `import { x } from '../../src/engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/relay/a.ts', `import { x } from '../api/x.ts'; export const y = x;`, IMPORTS],
  ['src/relay/b.ts', `import { x } from 'react'; export const y = x;`, IMPORTS],
  ['src/serve/a.ts', `import { x } from '../local/x.ts'; export const y = x;`, IMPORTS],
  ['src/serve/b.ts', `import { x } from 'webgpu'; export const y = x;`, IMPORTS],
  ['src/api/e.ts', `import { x } from '../relay/x.ts'; export const y = x;`, IMPORTS],
  ['src/cli/a.ts', `import { x } from 'react'; export const y = x;`, IMPORTS],
  ['src/cli/b.ts', `import { x } from '../client/x.ts'; export const y = x;`, IMPORTS],
  ['src/cli/c.ts', `import { x } from '../../workers/train.worker.ts'; export const y = x;`, IMPORTS],
  ['workers/a.worker.ts', `import { x } from '../src/stores/x.ts'; export const y = x;`, IMPORTS],
  ['workers/b.worker.ts', `import { x } from 'react'; export const y = x;`, IMPORTS],
  ['workers/c.worker.ts', `import { x } from '../src/storage/node-fs.ts'; export const y = x;`, IMPORTS],
  ['workers/api.ts', `import { x } from '../src/formats/x.ts'; export const y = x;`, IMPORTS],
  ['src/client/a.ts', `import type { X } from '../engine/x.ts'; export const y: X | null = null;`, IMPORTS],
  ['src/client/b.ts', `import { x } from '../../workers/train.worker.ts'; export const y = x;`, IMPORTS],
  ['src/stores/a.ts', `import { x } from '../engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/stores/b.ts', `export const y = fetch('x');`, GLOBALS],
  ['src/features/model/a.tsx', `import { x } from '../../engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/features/model/b.tsx', `import { x } from '../train/x.ts'; export const y = x;`, IMPORTS],
  ['src/features/model/e.tsx', `import { x } from '../../cli/x.ts'; export const y = x;`, IMPORTS],
  [
    'src/features/model/f.tsx',
    `import { x } from '../../../workers/train.worker.ts'; export const y = x;`,
    IMPORTS,
  ],
  ['src/app.tsx', `import { x } from './engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/ui/a.tsx', `import { x } from '../stores/x.ts'; export const y = x;`, IMPORTS],
  ['src/ui/c.tsx', `export const Y = () => <img src="x" />;`, 'jsx-a11y(alt-text)'],
  ['bench/a.ts', `import { x } from '../src/features/model/x.ts'; export const y = x;`, IMPORTS],
  ['src/cli/f.ts', `import { x } from '../../bench/x.ts'; export const y = x;`, IMPORTS],
  ['e2e/a.ts', `import { x } from '../src/engine/x.ts'; export const y = x;`, IMPORTS],
  ['src/engine/ops/any.ts', `export const y: any = 1;`, 'typescript(no-explicit-any)'],
  [
    'src/engine/ops/bang.ts',
    `export const y = (x: number | null) => x!;`,
    'typescript(no-non-null-assertion)',
  ],
  [
    'src/engine/ops/late.ts',
    `export const y = () => { Promise.resolve(); };`,
    'typescript(no-floating-promises)',
  ],
  ['src/engine/ops/default.ts', `export default 1;`, 'import(no-default-export)'],
  ['src/engine/ops/long.ts', '// line\n'.repeat(401), 'eslint(max-lines)'],
  [
    'src/engine/ops/ring.ts',
    `import { z } from './ring-2.ts'; export const y = () => z;`,
    'import(no-cycle)',
  ],
  [
    'src/engine/ops/ring-2.ts',
    `import { y } from './ring.ts'; export const z = () => y;`,
    'import(no-cycle)',
  ],
  [
    'src/engine/ops/only.test.ts',
    `import { test } from 'vitest'; test.only('a', () => {});`,
    'vitest(no-focused-tests)',
  ],
];

/** @type {Array<[file: string, code: string]>} path and source of what no boundary may refuse */
const ALLOWED = [
  ['src/formats/d.ts', `import type { X } from '../data/types.ts'; export const y: X | null = null;`],
  ['src/formats/e.ts', `import { StudioError } from '../errors.ts'; export const y = StudioError;`],
  ['src/engine/gpu/i.ts', `import type { X } from '../../formats/x.ts'; export const y: X | null = null;`],
  ['src/engine/gpu/j.ts', `import x from '../../../shaders/x.wgsl?raw'; export const y = x;`],
  ['src/engine/gpu/k.test.ts', `import { create } from 'webgpu'; export const y = create;`],
  ['src/run/e.ts', `import { x } from '../engine/index.ts'; export const y = x;`],
  ['src/run/f.ts', `import { x } from '../formats/x.ts'; export const y = x;`],
  ['src/storage/node-fs.ts', `import { readFileSync } from 'node:fs'; export const y = readFileSync;`],
  ['src/storage/folder-y.ts', `import { x } from './folder-files.ts'; import 'node:fs'; export const y = x;`],
  ['src/cli/h.ts', `import { x } from '../storage/folder-backend.ts'; export const y = x;`],
  ['src/api/d.ts', `import { x } from '../autodiff/index.ts'; export const y = x;`],
  ['src/recipes/d.ts', `import { x } from '../api/x.ts'; export const y = x;`],
  [
    'src/recipes/examples/e.ts',
    `import { x } from '../../autodiff/x.ts'; import '../sft.ts'; export const y = x;`,
  ],
  ['src/recipes/f.ts', `import type { X } from '../data/x.ts'; export const y: X | null = null;`],
  ['src/autodiff/c.ts', `import { StudioError } from '../errors.ts'; export const y = StudioError;`],
  ['e2e/remote/b.test.ts', `import { x } from '../../src/api/x.ts'; export const y = x;`],
  ['src/api/c.ts', `import type { X } from '../../workers/api.ts'; export const y: X | null = null;`],
  ['src/serve/c.ts', `import { x } from 'node:http'; import '../api/errors.ts'; export const y = x;`],
  ['src/cli/j.ts', `import { x } from '../serve/x.ts'; export const y = x;`],
  ['src/relay/c.ts', `import { x } from 'node:http'; import '../errors.ts'; export const y = x;`],
  ['src/cli/i.ts', `import { x } from '../relay/x.ts'; export const y = x;`],
  ['src/cli/d.ts', `import { x } from '../storage/node-fs.ts'; export const y = x;`],
  ['src/cli/g.ts', `import { x } from '../run/x.ts'; export const y = x;`],
  ['src/cli/e.ts', `import { create } from 'webgpu'; export const y = create;`],
  ['workers/d.worker.ts', `import { x } from '../src/run/x.ts'; export const y = x;`],
  ['workers/train.worker.ts', `import { x } from '../src/engine/x.ts'; export const y = x;`],
  ['src/features/model/c.tsx', `import { x } from '../../ui/button.tsx'; export const y = x;`],
  ['src/features/model/parts/d.tsx', `import { x } from '../own.ts'; export const y = x;`],
  ['src/main.tsx', `import { x } from './features/start/x.tsx'; export const y = x;`],
  ['src/ui/b.tsx', `import { useState } from 'react'; export const y = useState;`],
];

/** @type {string} */
let folder;
/** @type {Map<string, Set<string>>} the rules that fired, by file */
const fired = new Map();

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorikeet-lint-'));
  for (const file of ['.oxlintrc.json', 'tsconfig.json']) cpSync(join(ROOT, file), join(folder, file));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  for (const [file, code] of [...REFUSED, ...ALLOWED]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), code);
  }
  const lint = join(ROOT, 'node_modules/oxlint/bin/oxlint');
  const { stdout } = spawnSync(process.execPath, [lint, '--format', 'json'], {
    cwd: folder,
    encoding: 'utf8',
  });
  for (const { filename, code } of JSON.parse(stdout).diagnostics) {
    const file = filename.replaceAll('\\', '/');
    fired.set(file, (fired.get(file) ?? new Set()).add(code));
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(REFUSED)('%s is refused', (file, _code, rule) => {
  expect([...(fired.get(file) ?? [])]).toContain(rule);
});

test.each(ALLOWED)('%s is within the boundaries', (file) => {
  expect([...(fired.get(file) ?? [])].filter((rule) => rule === IMPORTS || rule === GLOBALS)).toEqual([]);
});
