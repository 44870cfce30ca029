import { expect, test } from 'vitest';
import { firstMissing } from './install.mjs';

const lock = {
  packages: {
    '': { version: '1.0.0' },
    'node_modules/a': { version: '1.0.0' },
    'node_modules/for-another-system': { version: '2.0.0', optional: true },
  },
};

test('packages for another system may be absent', () => {
  expect(firstMissing(lock, { packages: { 'node_modules/a': { version: '1.0.0' } } })).toBeNull();
});

test('names a package that is absent', () => {
  expect(firstMissing(lock, { packages: {} })).toBe('a');
});

test('names a package of another version, optional or not', () => {
  expect(firstMissing(lock, { packages: { 'node_modules/a': { version: '1.0.1' } } })).toBe('a');
  const packages = { ...lock.packages, 'node_modules/for-another-system': { version: '1.9.0' } };
  expect(firstMissing(lock, { packages })).toBe('for-another-system');
});
