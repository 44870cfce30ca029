/** The package as a program imports it: `import { ServiceClient } from 'lorikeet'`, on this machine's GPU. */
import { spawn } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { ensureBuilt } from '../../scripts/lib/build.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { json, scratch } from './lorikeet.ts';

const folder = scratch();
const store = join(folder, 'store');

const PROGRAM = `
import { ServiceClient, ModelInput, CheckpointNotFoundError } from 'lorikeet';
import { logsigmoid } from 'lorikeet/autodiff';

const service = new ServiceClient({ backend: 'local', store: ${JSON.stringify(store)} });
const client = await service.createLoraTrainingClient('tiny', { rank: 4, alpha: 8, seed: 1, trainUnembed: false });
const tokenizer = await client.getTokenizer();
const ids = tokenizer.encode('The fox eats berries.');
const datum = { modelInput: ModelInput.fromInts(ids.slice(0, -1)), lossFnInputs: { targetTokens: ids.slice(1) } };
const losses = [];
for (let i = 0; i < 3; i++) {
  const pass = client.forwardBackward([datum], 'cross_entropy');
  const step = client.optimStep({ learningRate: 1e-2 });
  losses.push((await pass).metrics['loss:sum']);
  await step;
}
const { path } = await client.saveState('three', { loopState: { step: 3 } });
const again = await service.loadTrainingClient(path);
const missing = await client.loadState('nothing').catch((error) => error instanceof CheckpointNotFoundError);
console.log(JSON.stringify({ losses, path, step: again.step, missing, autodiff: typeof logsigmoid }));
await service.close();
`;

function run(file: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [file], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

beforeAll(async () => {
  await ensureBuilt('lib');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules/lorikeet'), 'dir');
});

test('trains, saves and loads; its checkpoint is in the list of the command line', async () => {
  const file = join(folder, 'program.mjs');
  writeFileSync(file, PROGRAM);
  const { code, stdout, stderr } = await run(file);
  expect(code, stderr).toBe(0);
  const { losses, path, step, missing, autodiff } = JSON.parse(stdout) as {
    losses: number[];
    path: string;
    step: number;
    missing: boolean;
    autodiff: string;
  };
  expect(losses[2]).toBeLessThan(0.6 * (losses[0] ?? NaN));
  expect(path).toMatch(/^lorikeet:\/\/[0-9A-Z]{26}\/weights\/three$/);
  expect({ step, missing, autodiff }).toEqual({ step: 3, missing: true, autodiff: 'function' });
  const { items } = await json<{ items: { name: string; step: number }[] }>(
    'checkpoints',
    'list',
    '--store',
    store,
  );
  expect(items).toMatchObject([{ name: 'three', step: 3 }]);
});
