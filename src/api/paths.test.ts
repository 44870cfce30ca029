import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidCheckpointPathError } from './own-errors.ts';
import { formatPath, parseCheckpointId, parseCheckpointPath, resolveCheckpointPath } from './paths.ts';

describe('checkpoint paths', () => {
  it.each([
    ['lorikeet://run_1/weights/step-000500', 'lorikeet', 'run_1', 'training', 'step-000500'],
    ['lorikeet://run_1/sampler_weights/s1', 'lorikeet', 'run_1', 'sampler', 's1'],
    ['tinker://a1b2:train:0/weights/0001', 'tinker', 'a1b2:train:0', 'training', '0001'],
    ['tinker://model_1/s1', 'tinker', 'model_1', 'sampler', 's1'],
    ['bios://m/weights/epoch-3-loss-1.23', 'bios', 'm', 'training', 'epoch-3-loss-1.23'],
    ['lorikeet://Run/weights/%2e%2e', 'lorikeet', 'Run', 'training', '%2e%2e'],
  ])('reads %s', (text, scheme, runId, checkpointType, name) => {
    const parsed = parseCheckpointPath(text);
    expect(parsed).toMatchObject({ scheme, runId, checkpointType, name, kindAssumed: false });
    const kind = checkpointType === 'training' ? 'weights' : 'sampler_weights';
    expect(parsed.checkpointId).toBe(`${kind}/${name}`);
    expect(parsed.path).toBe(`${scheme}://${runId}/${kind}/${name}`);
  });

  it.each([
    'http://run/weights/a',
    'lorikeet://run/weights',
    'lorikeet://run/a',
    'lorikeet://run/weights/a/b',
    'lorikeet:///weights/a',
    'lorikeet://run/weights/',
    'lorikeet://run/other/a',
    'lorikeet://run/weights/a?x=1',
    'lorikeet://run/weights/a#x',
    'lorikeet://run/weights/a b',
    'lorikeet://ru\nn/weights/a',
    'lorikeet://../weights/a',
    'lorikeet://run/weights/..',
    'lorikeet://run/weights/..\\..\\x',
    `lorikeet://run/weights/${'x'.repeat(256)}`,
    'LORIKEET://run/weights/a',
    '',
    'name',
  ])('refuses %j', (text) => {
    expect(() => parseCheckpointPath(text)).toThrow(InvalidCheckpointPathError);
  });

  it('reads what two segments of bios mean from the call', () => {
    expect(parseCheckpointPath('bios://m/a', { assume: 'training' })).toMatchObject({
      checkpointType: 'training',
      kindAssumed: true,
    });
    expect(parseCheckpointPath('bios://m/a', { assume: 'sampler' }).path).toBe('bios://m/sampler_weights/a');
  });

  it('finds a bare name in the current run', () => {
    const options = { currentRun: 'r', assume: 'training' } as const;
    expect(parseCheckpointPath('train_state_step_100', options)).toMatchObject({
      path: 'lorikeet://r/weights/train_state_step_100',
      kindAssumed: true,
    });
  });

  it('knows the moving aliases', () => {
    expect(parseCheckpointPath('lorikeet://r/weights/@latest').alias).toBe('latest');
    expect(parseCheckpointPath('lorikeet://r/weights/@best').alias).toBe('best');
    expect(parseCheckpointPath('lorikeet://r/weights/latest').alias).toBeNull();
  });

  it('reads back every path that it writes', () => {
    const segment = fc
      .string({ minLength: 1, maxLength: 255, unit: 'grapheme-ascii' })
      .map((s) => s.replace(/[^A-Za-z0-9._:@-]/g, 'x'))
      .filter((s) => s !== '.' && s !== '..');
    fc.assert(
      fc.property(
        fc.constantFrom('lorikeet' as const, 'tinker' as const, 'bios' as const),
        segment,
        fc.constantFrom('training' as const, 'sampler' as const),
        segment,
        (scheme, runId, checkpointType, name) => {
          const parsed = parseCheckpointPath(formatPath(scheme, runId, checkpointType, name));
          expect(parsed).toMatchObject({ scheme, runId, checkpointType, name });
        },
      ),
    );
  });

  it('answers any text with a path or its own error', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        let outcome: unknown;
        try {
          outcome = parseCheckpointPath(text).path;
        } catch (error) {
          outcome = error;
        }
        expect(typeof outcome === 'string' || outcome instanceof InvalidCheckpointPathError).toBe(true);
      }),
    );
  });

  it('reads checkpoint ids', () => {
    expect(parseCheckpointId('weights/0001')).toEqual({ checkpointType: 'training', name: '0001' });
    expect(parseCheckpointId('sampler_weights/s')).toEqual({ checkpointType: 'sampler', name: 's' });
    expect(parseCheckpointId('s')).toEqual({ checkpointType: 'sampler', name: 's' });
    for (const bad of ['a/b/c', 'other/x', 'weights/', '/x', '..']) {
      expect(() => parseCheckpointId(bad)).toThrow(InvalidCheckpointPathError);
    }
  });

  it('resolves names the way load calls take them', () => {
    expect(resolveCheckpointPath('step-4')).toBe('step-4');
    expect(resolveCheckpointPath('step-4', { sourceJobId: 'job' })).toBe('lorikeet://job/weights/step-4');
    expect(resolveCheckpointPath('cross_job://job/step-4')).toBe('lorikeet://job/weights/step-4');
    expect(resolveCheckpointPath('s3://bucket/x/y')).toBe('s3://bucket/x/y');
    expect(resolveCheckpointPath('/data/checkpoints/x')).toBe('/data/checkpoints/x');
    expect(resolveCheckpointPath('tinker://m/weights/a')).toBe('tinker://m/weights/a');
    expect(() => resolveCheckpointPath('a/b', { sourceJobId: 'job' })).toThrow(InvalidCheckpointPathError);
    expect(() => resolveCheckpointPath('cross_job:///x')).toThrow(InvalidCheckpointPathError);
  });
});
