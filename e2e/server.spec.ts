// What lies on a training server, in the page: a real server and relay of this project as programs of their own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, type Page } from '@playwright/test';
import { ROOT } from '../scripts/lib/paths.mjs';
import { firstLine, type Started } from './first-line.ts';
import { openReadyStudio, press, section, setSteps, status } from './studio.ts';

type Json = Record<string, unknown>;

let folder = '';
const running: Started[] = [];

/** Starts `lorikeet` with a command that serves; gives the address that it prints. */
async function start(...args: string[]): Promise<string> {
  const started = firstLine(folder, [join(ROOT, 'bin/lorikeet.mjs'), ...args, '--port', '0', '--json']);
  running.push(started);
  return (JSON.parse(await started.line) as { url: string }).url;
}

/** A model that has taken one step there, saved as a state and for sampling. */
async function trainThere(server: string): Promise<void> {
  const post = async (path: string, body: Json): Promise<Json> => {
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    const response = await fetch(`${server}/api/v1/${path}`, init);
    expect(response.status, path).toBe(200);
    return (await response.json()) as Json;
  };
  const result = async (path: string, body: Json): Promise<Json> =>
    post('retrieve_future', { request_id: (await post(path, body))['request_id'] });
  const { session_id } = await post('create_session', { tags: [], sdk_version: '1' });
  const lora_config = { rank: 4, seed: 1, train_unembed: false };
  const made = { session_id, model_seq_id: 0, base_model: 'lorikeet-tiny', lora_config };
  const { model_id } = await result('create_model', made);
  const ids = [1, 315, 202, 361, 307, 1301, 14];
  const datum = {
    model_input: { chunks: [{ type: 'encoded_text', tokens: ids.slice(0, -1) }] },
    loss_fn_inputs: { target_tokens: { data: ids.slice(1) } },
  };
  const pass = { data: [datum], loss_fn: 'cross_entropy', loss_fn_config: null };
  await result('forward_backward', { model_id, seq_id: 1, forward_backward_input: pass });
  await result('optim_step', { model_id, seq_id: 2, adam_params: { learning_rate: 0.01 } });
  await result('save_weights', { model_id, seq_id: 3, path: 'state-one' });
  await result('save_weights_for_sampler', { model_id, seq_id: 4, path: 'adapter-one' });
}

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-server-'));
});
test.afterAll(async () => {
  for (const { stop } of running) await stop();
  await rm(folder, { recursive: true, force: true });
});

const open = async (page: Page) => {
  await openReadyStudio(page);
  const panel = section(page, 'Checkpoints');
  await panel.getByText('On a training server').click();
  return panel;
};

test('checkpoints of a server are listed, fetched through the relay, and trained on', async ({ page }) => {
  const server = await start('serve', '--store', join(folder, 'there'));
  await trainThere(server);
  const panel = await open(page);
  const relay = await start('relay', '--target', server, '--allow-origin', new URL(page.url()).origin);
  await panel.getByLabel('Relay').fill(relay);
  await press(page, 'List checkpoints');
  const table = panel.getByRole('table', { name: 'On a training server' });
  await expect(table.getByRole('row')).toHaveCount(3);
  await expect(table.getByRole('row', { name: 'state-one' })).toContainText('stays there');
  await table.getByRole('button', { name: /^Fetch adapter-one of / }).click();
  const found = panel.getByRole('region', { name: 'What it is' });
  await setSteps(page, 2);
  await found.getByRole('button', { name: 'Add and warm start' }).click();
  await expect(panel.getByText('adapter-one was added.')).toBeVisible();
  await expect(status(page)).toHaveText('Done: 2 of 2 steps.', { timeout: 200_000 });
});

test('a relay that is not there is told by name, with what to do', async ({ page }) => {
  const panel = await open(page);
  await panel.getByLabel('Relay').fill('https://tinker.example');
  await expect(panel.getByText('A relay on this machine has an address such as')).toBeVisible();
  await expect(panel.getByRole('button', { name: 'List checkpoints' })).toBeDisabled();
  await panel.getByLabel('Relay').fill('http://127.0.0.1:9');
  await press(page, 'List checkpoints');
  await expect(panel.getByRole('alert')).toContainText(
    'No relay that takes this page answers at http://127.0.0.1:9.',
  );
});
