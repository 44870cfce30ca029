import { expect, test } from 'vitest';
import { isGoodLavapipe } from './vulkan.mjs';

test('accepts lavapipe of Mesa 25 and later, but not with LLVM 22', () => {
  expect(isGoodLavapipe('mesa software: llvmpipe: Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6) 0.0.1')).toBe(true);
  expect(isGoodLavapipe('mesa software: llvmpipe: Mesa 26.1.0 (LLVM 21.1.0)')).toBe(true);
  expect(isGoodLavapipe('mesa software: llvmpipe: Mesa 22.3.6 (LLVM 15.0.6)')).toBe(false);
  expect(isGoodLavapipe('mesa software: llvmpipe: Mesa 26.0.0 (LLVM 22.0.0)')).toBe(false);
  expect(isGoodLavapipe('something else')).toBe(false);
});
