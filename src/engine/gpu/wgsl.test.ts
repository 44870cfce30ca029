import { describe, expect, test } from 'vitest';
import { kernelNames, shaderText } from './shaders.ts';
import { kernelSource, packParams } from './wgsl.ts';

/** The files below src/engine, from the root of the repository. */
const files = Object.keys(import.meta.glob('../**/*.ts')).map((path) =>
  path.startsWith('./') ? `src/engine/gpu/${path.slice(2)}` : `src/engine/${path.slice(3)}`,
);

describe('kernelSource', () => {
  test('puts the prelude on the first line and the libraries before the kernel', () => {
    const { code } = kernelSource('swiglu', { HEAD_VEC4: 16, LANES: 2 });
    expect(code.split('\n')[0]).toBe('const HEAD_VEC4 = 16u; const LANES = 2u;');
    expect(code.indexOf('struct Batch')).toBeGreaterThan(0);
    expect(code.indexOf('struct Batch')).toBeLessThan(code.indexOf('fn main'));
  });

  test('reads bindings and params in their order', () => {
    const { bindings, params } = kernelSource('adamw');
    expect([...bindings].slice(0, 3)).toEqual([
      ['params', { index: 0, kind: 'uniform' }],
      ['hyper', { index: 1, kind: 'storage' }],
      ['norm', { index: 2, kind: 'storage' }],
    ]);
    expect(params).toEqual([{ name: 'count4', type: 'u32' }]);
    expect(kernelSource('lora-gradient').params[0]).toEqual({ name: 'scale', type: 'f32' });
  });

  test('names a shader that is not there', () => {
    expect(() => kernelSource('no-such-kernel')).toThrow('No shader named no-such-kernel');
  });
});

describe('every kernel', () => {
  const failing = (holds: (name: string) => boolean): string[] =>
    kernelNames().filter((name) => !holds(name));

  test('is found', () => {
    expect(kernelNames()).toEqual(expect.arrayContaining(['adamw', 'gemm-forward-naive', 'swiglu']));
  });

  test('numbers its bindings from 0, at most 8 of them storage', () => {
    expect(
      failing((name) => {
        const bindings = [...kernelSource(name).bindings.values()];
        const storage = bindings.filter(({ kind }) => kind === 'storage');
        return bindings.every(({ index }, place) => index === place) && storage.length <= 8;
      }),
    ).toEqual([]);
  });

  test('has one entry point, its last function, within 150 lines', () => {
    expect(
      failing((name) => {
        const functions = [...shaderText(name).matchAll(/^fn (\w+)/gm)].map((match) => match[1]);
        return (
          functions.at(-1) === 'main' &&
          functions.indexOf('main') === functions.length - 1 &&
          shaderText(name).split('\n').length <= 151
        );
      }),
    ).toEqual([]);
  });

  test('names the test that compares it with its CPU twin, and names no file that is not there', () => {
    expect(
      failing((name) => {
        const named = shaderText(name).match(/src\/[\w/.-]+\.ts/g) ?? [];
        return named.some((path) => path.endsWith('.test.ts')) && named.every((path) => files.includes(path));
      }),
    ).toEqual([]);
  });

  test('includes libraries alone, which include no other', () => {
    const includes = kernelNames().flatMap((name) =>
      [...shaderText(name).matchAll(/^\/\/#include (.*)$/gm)].map((match) => match[1] ?? ''),
    );
    const libraries = [...new Set(includes)];
    expect(libraries.filter((name) => !name.startsWith('lib/'))).toEqual([]);
    expect(libraries.filter((name) => /@binding|@compute|#include/.test(shaderText(name)))).toEqual([]);
  });
});

describe('packParams', () => {
  const fields = [
    { name: 'rows', type: 'u32' as const },
    { name: 'scale', type: 'f32' as const },
  ];

  test('writes the fields in their order, each in its type, padded to 16 bytes', () => {
    const packed = packParams('k', fields, { scale: 0.5, rows: 7 });
    expect(packed.byteLength).toBe(16);
    expect(new DataView(packed).getUint32(0, true)).toBe(7);
    expect(new DataView(packed).getFloat32(4, true)).toBe(0.5);
    const five = Array.from({ length: 5 }, (_, i) => ({ name: `f${i}`, type: 'u32' as const }));
    const values = Object.fromEntries(five.map(({ name }, i) => [name, i]));
    expect([...new Uint32Array(packParams('k', five, values))]).toEqual([0, 1, 2, 3, 4, 0, 0, 0]);
  });

  test('names a field that is missing or unknown', () => {
    expect(() => packParams('k', fields, { rows: 1 })).toThrow('k: Params.scale is missing');
    expect(() => packParams('k', fields, { rows: 1, scale: 1, cols: 2 })).toThrow('k: Params has no cols');
  });
});
