import { afterEach, expect, test, vi } from 'vitest';
import { computesCorrectly, drivers } from './drivers.ts';

afterEach(() => vi.unstubAllEnvs());

test.each([
  ['llvmpipe: Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6) 0.0.1', true],
  ['llvmpipe: Mesa 22.3.6 (LLVM 15.0.6)', false],
  ['llvmpipe: Mesa 26.1.0 (LLVM 22.1.0)', false],
  ['SwiftShader driver 5.0.0', true],
  ['NVIDIA: 580.1', true],
])('%s computes correctly: %s', (description, expected) => {
  expect(computesCorrectly(description)).toBe(expected);
});

test('the driver of the environment is put back in force', () => {
  vi.stubEnv('VK_ICD_FILENAMES', '/own.json');
  vi.stubEnv('XDG_RUNTIME_DIR', undefined);
  const [system, chromium] = drivers();
  expect(system?.name).toBe('system');
  expect(process.env['XDG_RUNTIME_DIR']).not.toBe('');
  chromium?.use();
  system?.use();
  expect(process.env['VK_ICD_FILENAMES']).toBe('/own.json');
});
