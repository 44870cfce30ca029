import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { testDevice, useGpu } from '../testing/gpu.ts';
import { kernelNames, shaderText } from './shaders.ts';
import { kernelSource } from './wgsl.ts';

useGpu();

/** What every WebGPU device offers to one shader stage. */
const STORAGE_BUFFERS = 8;

test('there are kernels', () => {
  expect(kernelNames().length).toBeGreaterThan(30);
});

// Pipelines are made in the tests of the ops: SwiftShader takes seconds for some.
describe.each(kernelNames())('%s', (name) => {
  const text = shaderText(name);

  test('compiles without a message, within the default limits', async () => {
    const device = testDevice();
    const { code, features } = kernelSource(name);
    for (const feature of features)
      expect([...device.features], 'the features of this device').toContain(feature);
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: name, code });
    const { messages } = await module.getCompilationInfo();
    const error = await device.popErrorScope();
    expect(messages.map(({ type, lineNum, message }) => `${type} at ${lineNum}: ${message}`)).toEqual([]);
    expect(error?.message ?? 'no GPU error').toBe('no GPU error');
    const storage = [...kernelSource(name).bindings.values()].filter(({ kind }) => kind === 'storage');
    expect(storage.length).toBeLessThanOrEqual(STORAGE_BUFFERS);
  });

  test('uses every binding that it declares', () => {
    const code = text.replace(/\/\/.*$/gm, '');
    for (const binding of kernelSource(name).bindings.keys()) {
      expect(code.match(new RegExp(`\\b${binding}\\b`, 'g'))?.length ?? 0, binding).toBeGreaterThan(1);
    }
  });

  test('is short, and its header names its twin and its test', () => {
    expect(text.split('\n').length).toBeLessThanOrEqual(151);
    const header = text
      .split('\n')
      .filter((line) => line.startsWith('//'))
      .join('\n');
    expect(header).toMatch(/CPU twin: (none, |src\/engine\/reference\/)/);
    expect(header).toMatch(/test: src\/engine\/ops\//);
    for (const path of header.match(/src\/[\w/.-]+\.ts/g) ?? []) expect(existsSync(path), path).toBe(true);
  });
});
