import { describe, expect, test } from 'vitest';
import { archiveEntries } from '../formats/archive-write.ts';
import { bytesSource } from '../formats/bytes.ts';
import { memoryFileSet, type FileSet } from '../formats/file-set.ts';
import { stateEntries } from '../formats/state-files.ts';
import { testAdapter } from '../formats/testing-adapter.ts';
import { tarOfEntries, testExport } from '../formats/testing-export.ts';
import { testState } from '../formats/testing-state.ts';
import { collect } from '../formats/testing.ts';
import { openTiny } from '../run/testing.ts';
import { peek, type Peek } from './peek.ts';

const tiny = await openTiny();
const text = (content: string) => new TextEncoder().encode(content);
const tarSource = async (what = testExport()) =>
  bytesSource('x.tar', await tarOfEntries(await archiveEntries(what)));

async function folderOf(label: string, prefix: string, what = testExport()): Promise<FileSet> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of await archiveEntries(what))
    files.set(prefix + entry.path, await collect(entry.chunks()));
  return memoryFileSet(label, files);
}

const blocked = (look: Peek, name: string): string | null | undefined =>
  look.actions.find((action) => action.name === name)?.blocked;

const full = () => {
  const adapter = testAdapter();
  return testExport({ adapter, stateFiles: stateEntries(testState(adapter), adapter) });
};

describe('what is dropped is named', () => {
  test('a whole checkpoint: it can be added and resumed, and says why it does not fit what is loaded', async () => {
    const look = await peek(await tarSource(full()), tiny);
    expect(look).toMatchObject({ kind: 'checkpoint', error: null });
    expect(look.facts).toEqual(expect.arrayContaining([{ label: 'Base model', value: 'acme/tiny-llama' }]));
    expect(blocked(look, 'add')).toBe(null);
    expect(blocked(look, 'resume')).toBe(null);
    expect(blocked(look, 'warm-start')).toContain('acme/tiny-llama');
  });

  test('an adapter of ours, in a folder: no state to resume', async () => {
    const look = await peek(await folderOf('dropped', 'adapter-1/'), null);
    expect(look).toMatchObject({ kind: 'adapter', title: 'Adapter of Lorikeet, without training state' });
    expect(blocked(look, 'resume')).toContain('no training state');
    expect(blocked(look, 'warm-start')).toBe('Load its base model first.');
  });

  test('an adapter of another program that does not fit names the layer', async () => {
    const entries = (await archiveEntries(testExport())).filter(({ path }) => path !== 'checkpoint.json');
    const look = await peek(bytesSource('peft.tar', await tarOfEntries(entries)), tiny);
    expect(look).toMatchObject({ kind: 'adapter', title: 'Adapter of another program' });
    expect(blocked(look, 'warm-start')).toContain('does not fit lorikeet-tiny');
  });

  test.each([
    ['rows.jsonl', '{"text": "hello"}'],
    ['rows.csv', 'prompt,completion\na,b'],
  ])('a data file, %s', async (name, content) => {
    expect(await peek(bytesSource(name, text(content)), tiny)).toMatchObject({
      kind: 'data',
      actions: [{ name: 'use-as-data', blocked: null }],
    });
  });

  test('a model folder', async () => {
    const files = memoryFileSet(
      'm',
      new Map([
        ['m/config.json', text('{}')],
        ['m/model.safetensors', text('x')],
      ]),
    );
    expect(await peek(files, tiny)).toMatchObject({ kind: 'model', actions: [{ name: 'use-as-model' }] });
  });

  test.each<[string, Uint8Array<ArrayBuffer>, string]>([
    ['a.zip', Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0), 'a.zip is a zip file'],
    ['empty.tar.gz', new Uint8Array(0), 'no file that is known here'],
    ['page.tar.gz', text('<!doctype html><p>Not found'), 'a html file'],
    ['photo.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47), 'no file that is known here'],
  ])('141: %s is named, and nothing is offered', async (name, bytes, message) => {
    const look = await peek(bytesSource(name, bytes), tiny);
    expect(look).toMatchObject({ kind: 'unknown', actions: [] });
    expect(look.error?.message).toContain(message);
  });

  test('141: a tar without gzip under the name of one is read by its content', async () => {
    const bytes = await tarOfEntries(await archiveEntries(testExport()));
    expect(await peek(bytesSource('really.tar.gz', bytes), null)).toMatchObject({ kind: 'adapter' });
  });

  test('an adapter with parts that are not computed here is refused by their name', async () => {
    const files = await folderOf('dora', '');
    const config = { peft_type: 'LORA', r: 8, lora_alpha: 16, target_modules: ['q_proj'], use_dora: true };
    const changed = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const name of files.names()) {
      const source = await files.open(name);
      if (name !== 'checkpoint.json') changed.set(name, await source.read(0, source.size));
    }
    changed.set('adapter_config.json', text(JSON.stringify(config)));
    const look = await peek(memoryFileSet('dora', changed), tiny);
    expect(look.error?.code).toBe('ADAPTER_UNSUPPORTED');
    expect(look.error?.message).toMatch(/DoRA|use_dora/);
  });
});
