import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkName, LOCAL_NAMES, SKYRL_NAMES, suggestName } from './names.ts';
import { requireOutputModelId, validateOutputModelId } from './output-model-id.ts';
import { resolveNextCheckpointType } from './next-checkpoint-type.ts';
import { InvalidCheckpointNameError, OutputModelIdError } from './own-errors.ts';

describe('checkpoint names', () => {
  it('are per backend, and a refusal proposes a spelling', () => {
    checkName('epoch-3-loss-1.23', LOCAL_NAMES, 'The local store');
    const refused = (): void => checkName('epoch-3-loss-1.23', SKYRL_NAMES, 'SkyRL');
    expect(refused).toThrow(InvalidCheckpointNameError);
    expect(refused).toThrow(/SkyRL does not take the checkpoint name "epoch-3-loss-1.23"/);
    expect(refused).toThrow(
      expect.objectContaining({ suggestion: 'epoch-3-loss-1-23', code: 'CHECKPOINT_NAME', status: 400 }),
    );
  });

  it.each(['', '.hidden', '-x', 'a/b', '../x', 'a b', 'é', '@latest', 'x'.repeat(256)])(
    'refuses %j locally',
    (name) => {
      expect(() => checkName(name, LOCAL_NAMES, 'here')).toThrow(InvalidCheckpointNameError);
    },
  );

  it('proposes only what it would take', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 400 }),
        fc.constantFrom(LOCAL_NAMES, SKYRL_NAMES),
        (name, rule) => {
          expect(() => checkName(suggestName(name, rule), rule, 'here')).not.toThrow();
        },
      ),
    );
  });
});

describe('names of promoted models', () => {
  it.each(['a', 'my-model-1', '-', '0'.repeat(63)])('takes %j', (id) => {
    expect(validateOutputModelId(id)).toEqual([]);
  });

  it.each([
    ['', 1],
    [undefined, 1],
    ['a'.repeat(64), 1],
    ['My_Model', 1],
    [`${'a'.repeat(64)}.X`, 2],
    ['é', 1],
  ])('refuses %j', (id, count) => {
    expect(validateOutputModelId(id)).toHaveLength(count);
    expect(() => requireOutputModelId(id)).toThrow(OutputModelIdError);
  });
});

it('chooses base first, then delta, and base always for LoRA', () => {
  expect(resolveNextCheckpointType({ loraRank: 8, baseSaved: true })).toBe('base');
  expect(resolveNextCheckpointType({ loraRank: 8, baseSaved: true, explicit: 'delta' })).toBe('delta');
  expect(resolveNextCheckpointType({ loraRank: 0, baseSaved: false })).toBe('base');
  expect(
    resolveNextCheckpointType({ loraRank: 0, baseSaved: false, firstCheckpointType: 'merged_base' }),
  ).toBe('merged_base');
  expect(resolveNextCheckpointType({ loraRank: 0, baseSaved: true })).toBe('delta');
});
