import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sha256, sha256Hex } from './sha256.ts';

describe('Sha256', () => {
  it('gives the published values', () => {
    expect(sha256Hex('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it('equals the hash of the host for every way of cutting the input', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 }), (parts) => {
        const ours = new Sha256();
        const theirs = createHash('sha256');
        for (const part of parts) {
          ours.update(part);
          theirs.update(part);
        }
        expect(ours.hex()).toBe(theirs.digest('hex'));
      }),
      { numRuns: 500 },
    );
  });

  it('counts the bits of long inputs', () => {
    const bytes = new Uint8Array(1 << 20).map((_, i) => i * 7);
    const ours = new Sha256();
    const theirs = createHash('sha256');
    for (let i = 0; i < 17; i++) {
      ours.update(bytes);
      theirs.update(bytes);
    }
    expect(ours.hex()).toBe(theirs.digest('hex'));
  });
});
