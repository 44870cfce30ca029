import { describe, expect, it } from 'vitest';
import { blobSource, bytesSource } from './bytes.ts';

describe('byte sources', () => {
  it('read ranges of bytes and blobs', async () => {
    const bytes = new TextEncoder().encode('hello world');
    for (const source of [bytesSource('a', bytes), blobSource('a', new Blob([bytes]))]) {
      expect(source).toMatchObject({ name: 'a', size: 11 });
      expect(new TextDecoder().decode(await source.read(6, 11))).toBe('world');
    }
  });

  it('36: name a dropped file that cannot be read any more', async () => {
    // What browsers do when the file on disk has changed since it was picked.
    class Gone extends Blob {
      override slice(): Blob {
        return this;
      }
      override arrayBuffer(): Promise<ArrayBuffer> {
        return Promise.reject(new DOMException('changed', 'NotReadableError'));
      }
    }
    await expect(blobSource('model.safetensors', new Gone()).read(0, 1)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      message: /^model\.safetensors cannot be read any more/,
    });
  });
});
