import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { archiveEntries, toTarGz } from './archive-write.ts';
import { bytesSource } from './bytes.ts';
import { memoryFileSet } from './file-set.ts';
import { inspect } from './inspect.ts';
import { fromStream } from './streams.ts';
import { adapterFolder, testAdapter } from './testing-adapter.ts';
import { testExport } from './testing-export.ts';
import { codeOf, collect } from './testing.ts';

const dir = new URL('../../public/models/lorikeet-tiny/', import.meta.url);
const model = () =>
  new Map(readdirSync(dir).map((name) => [name, new Uint8Array(readFileSync(new URL(name, dir)))]));

describe('inspect', () => {
  it('describes a model', async () => {
    const seen = await inspect(memoryFileSet('tiny', model()));
    expect(seen).toMatchObject({
      kind: 'model',
      architecture: 'LlamaForCausalLM',
      family: 'llama',
      hasChatTemplate: true,
      problems: [],
    });
    expect(seen).toHaveProperty('parameters', Object.values(seen.dtypes as object)[0]);
  });

  it('describes an incomplete model with what is wrong', async () => {
    const files = model();
    files.delete('tokenizer.json');
    files.set('model.safetensors', new Uint8Array(7));
    const seen = await inspect(memoryFileSet('tiny', files));
    expect(seen).toMatchObject({ kind: 'model', family: 'llama', parameters: 0 });
    expect(seen.problems.map((problem) => problem.split(':')[0])).toEqual([
      'TOKENIZER_MISSING',
      'SAFETENSORS_INVALID',
    ]);
  });

  it('describes an adapter folder and an archive', async () => {
    const folder = await inspect(await adapterFolder({}, testAdapter({ rslora: true })));
    expect(folder).toMatchObject({
      kind: 'adapter',
      container: 'folder',
      baseModel: 'acme/tiny-llama',
      rank: 2,
      targets: ['down_proj', 'q_proj', 'v_proj'],
      parameters: 2 * (2 * 16 + 2 * 12 + 2 * 20),
      layers: 2,
      checkpoint: null,
    });
    expect(folder.problems[0]).toContain('rsLoRA');
    const bytes = await collect(fromStream(toTarGz(await archiveEntries(testExport()))));
    const archive = await inspect(bytesSource('a.tar.gz', bytes));
    expect(archive).toMatchObject({
      container: 'tar.gz',
      checkpoint: { step: 10, kind: 'sampler' },
      problems: [],
    });
  });

  it('refuses what is neither', async () => {
    expect(await codeOf(() => inspect(bytesSource('x', new Uint8Array(600))))).toBe('ARCHIVE_INVALID');
    expect(await codeOf(() => inspect(memoryFileSet('x', new Map([['a.txt', new Uint8Array(1)]]))))).toBe(
      'ADAPTER_INVALID',
    );
  });
});
