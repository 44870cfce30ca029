import { expect, test } from 'vitest';
import { DEFAULT_FINETUNE } from '../engine/index.ts';
import { parseModelConfig } from '../engine/model/config.ts';
import { codeOf } from '../formats/testing.ts';
import type { FinetuneOptions } from './options.ts';
import { checkGiven } from './training-config.ts';

const config = parseModelConfig({
  architectures: ['LlamaForCausalLM'],
  vocab_size: 199,
  hidden_size: 32,
  intermediate_size: 52,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
});
const ALL = ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj'];

/** The code with which these options are refused by a run over all layers, 20 steps long or one epoch. */
function refusal(given: Partial<FinetuneOptions>, length: { steps: number | null } = { steps: 20 }) {
  const restored: Parameters<typeof checkGiven>[1] = {
    settings: {
      data: { name: 'd', trainOn: 'completion', chat: false, maxLength: 512, evalSplit: 0, seed: 0 },
      training: { ...DEFAULT_FINETUNE, ...length },
    },
    adapter: {
      settings: {
        rank: 8,
        alpha: 16,
        dropout: 0,
        rslora: false,
        targetModules: ALL,
        rankPattern: {},
        alphaPattern: {},
      },
    },
  };
  const options = { ...given, given: Object.keys(given) } as unknown as FinetuneOptions;
  return codeOf(() => Promise.resolve(checkGiven(options, restored, { config })));
}

test.each<[Partial<FinetuneOptions>]>([
  [{}],
  [{ rank: 8, alpha: 16, targets: 'all-linear' }],
  [{ targets: [...ALL].reverse() }],
  [{ steps: 20, lr: 1e-4, shuffle: true, maxLength: 512 }],
])('what the run was started with may be said again: %j', async (given) => {
  expect(await refusal(given)).toBe('no error');
});

test.each<[Partial<FinetuneOptions>, string]>([
  [{ targets: ['q_proj'] }, 'ADAPTER_MISMATCH'],
  [{ rslora: true }, 'ADAPTER_MISMATCH'],
  [{ dropout: 0.5 }, 'ADAPTER_MISMATCH'],
  [{ targets: ['c_attn'] }, 'OPTION_INVALID'],
  [{ steps: 21 }, 'OPTION_INVALID'],
  // The length is given in steps, so one in epochs says something else, whatever the number.
  [{ epochs: 1 }, 'OPTION_INVALID'],
  [{ shuffle: false }, 'OPTION_INVALID'],
  [{ chat: true }, 'OPTION_INVALID'],
  [{ trainOn: 'all' }, 'OPTION_INVALID'],
  [{ evalSplit: 0.1 }, 'OPTION_INVALID'],
])('anything else is refused: %j', async (given, code) => {
  expect(await refusal(given)).toBe(code);
});

test('a run of epochs takes no steps', async () => {
  expect(await refusal({ epochs: 1 }, { steps: null })).toBe('no error');
  expect(await refusal({ epochs: 2 }, { steps: null })).toBe('OPTION_INVALID');
  expect(await refusal({ steps: 20 }, { steps: null })).toBe('OPTION_INVALID');
});
