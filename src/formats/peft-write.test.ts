import { describe, expect, it } from 'vitest';
import { compareModulePaths } from './peft-order.ts';
import { readPeftFolder } from './import-layout.ts';
import { consumerWarnings, peftConfigText } from './peft-write.ts';
import { adapterFiles, adapterFolder, testAdapter } from './testing-adapter.ts';
import { memoryFileSet } from './file-set.ts';

const plain = { fanInFanOut: false, revision: null };

describe('peftConfigText', () => {
  it('writes the conservative fields, sorted, and no others', () => {
    const text = peftConfigText(testAdapter(), plain);
    const fields =
      'alpha_pattern auto_mapping base_model_name_or_path bias fan_in_fan_out inference_mode init_lora_weights ' +
      'layers_pattern layers_to_transform lora_alpha lora_dropout modules_to_save peft_type r rank_pattern ' +
      'revision target_modules task_type';
    expect(Object.keys(JSON.parse(text) as object)).toEqual(fields.split(' '));
    expect(text).toContain('{\n  "alpha_pattern": {},\n  "auto_mapping": null,\n  "base_model_name_or_path"');
  });

  it('says use_rslora only when it is on, and fan_in_fan_out as told', () => {
    const text = peftConfigText(testAdapter({ rslora: true }), { fanInFanOut: true, revision: 'abc' });
    expect(JSON.parse(text)).toMatchObject({ use_rslora: true, fan_in_fan_out: true, revision: 'abc' });
  });

  it('names full paths where the adapter covers only some layers', async () => {
    const path = 'model.layers.3.self_attn.q_proj';
    const adapter = testAdapter({ targetPaths: [path] }, { [path]: [8, 8] });
    expect(JSON.parse(peftConfigText(adapter, plain))).toMatchObject({ target_modules: [path] });
    expect((await readPeftFolder(await adapterFolder({}, adapter))).adapter).toEqual(adapter);
  });
});

describe('peftEntries', () => {
  it('round-trips rank and alpha per module', async () => {
    const adapter = testAdapter({
      rankPattern: { 'model.layers.0.mlp.down_proj': 5 },
      alphaPattern: { 'model.layers.1.self_attn.q_proj': 0.5 },
    });
    expect((await readPeftFolder(await adapterFolder({}, adapter))).adapter).toEqual(adapter);
  });

  it('writes bfloat16 on request, and reading and writing that again changes nothing', async () => {
    const first = await adapterFiles(testAdapter(), 'BF16');
    const read = await readPeftFolder(memoryFileSet('x', first));
    expect(read.dtypes).toEqual(['BF16']);
    expect(await adapterFiles(read.adapter, 'BF16')).toEqual(first);
  });
});

describe('compareModulePaths', () => {
  it('orders as models register their modules', () => {
    const ordered = [
      'model.layers.2.self_attn.q_proj',
      'model.layers.2.self_attn.k_proj',
      'model.layers.2.self_attn.v_proj',
      'model.layers.2.self_attn.o_proj',
      'model.layers.2.mlp.gate_proj',
      'model.layers.2.mlp.up_proj',
      'model.layers.2.mlp.down_proj',
      'model.layers.10.self_attn.q_proj',
      'transformer.h.11.attn.c_attn',
      'transformer.h.11.attn.c_proj',
      'transformer.h.11.mlp.c_fc',
      'transformer.h.11.mlp.c_proj',
      'transformer.h.11.zebra',
      'lm_head',
    ];
    expect([...ordered].reverse().sort(compareModulePaths)).toEqual(ordered);
  });
});

describe('consumerWarnings', () => {
  it('is silent for a plain adapter and names each caveat otherwise', () => {
    expect(consumerWarnings(testAdapter().settings, false)).toEqual([]);
    const { settings } = testAdapter({ rank: 32, rslora: true, alphaPattern: { x: 1 } });
    const text = consumerWarnings(settings, true).join('\n');
    for (const word of ['no rank or alpha per module', '--max-lora-rank 32', 'rsLoRA', 'GPT-2']) {
      expect(text).toContain(word);
    }
  });
});
