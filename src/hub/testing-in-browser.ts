/** What the browser test runs in its page; loaded there as a module. */
import { readAdapter } from '../formats/archive-read.ts';
import { archiveEntries, toTarGz } from '../formats/archive-write.ts';
import { bytesSource } from '../formats/bytes.ts';
import { gunzip } from '../formats/gzip.ts';
import { sourceChunks } from '../formats/streams.ts';
import { testExport } from '../formats/testing-export.ts';
import { codeOf } from '../formats/testing.ts';
import { browserHubCache } from './browser-cache.ts';
import { openHubModel } from './hub-model.ts';

const violations: string[] = [];
document.addEventListener('securitypolicyviolation', (event) =>
  violations.push(
    `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile} ${String(event.lineNumber)}`,
  ),
);

/** Opens the weights: hash of the content, first progress report, or the code of the error. */
async function download(options: { id: string; hubUrl: string }) {
  let resumedFrom = -1;
  let sha256 = '';
  let middle: number[] = [];
  const code = await codeOf(async () => {
    const files = await openHubModel({
      ...options,
      cache: browserHubCache(),
      retryDelayMs: 1,
      onProgress: ({ received }) => {
        if (resumedFrom < 0) resumedFrom = received;
      },
    });
    const source = await files.open('model.safetensors');
    const digest = await crypto.subtle.digest('SHA-256', await source.read(0, source.size));
    sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    // Across the border of two parts.
    middle = [...(await source.read(4 * 2 ** 20 - 3, 4 * 2 ** 20 + 3))];
  });
  return { code, sha256, resumedFrom, middle };
}

/** Takes one stored part away, as a browser short of space may. */
async function loseFirstPart(): Promise<void> {
  const cache = await caches.open('lorikeet-hub-v1');
  for (const request of await cache.keys()) {
    if (request.url.endsWith('?from=0')) await cache.delete(request);
  }
}

async function appendAndRemove() {
  const cache = browserHubCache('test');
  await cache.append('a/b', 0, new Uint8Array(5));
  await cache.append('a/b', 5, new Uint8Array(5));
  const refused = await codeOf(() => cache.append('a/b', 3, new Uint8Array(1)));
  const length = await cache.length('a/b');
  await cache.remove('a/b');
  return { refused, length, keys: (await (await caches.open('test')).keys()).length };
}

async function packAndUnpack() {
  const what = testExport();
  const packed = new Uint8Array(await new Response(toTarGz(await archiveEntries(what))).arrayBuffer());
  const back = await readAdapter(bytesSource('a.tar.gz', packed));
  const unzip = (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
    codeOf(async () => {
      for await (const chunk of gunzip('a.gz', sourceChunks(bytesSource('a.gz', bytes)), 1e9)) void chunk;
    });
  return {
    same: JSON.stringify(back.adapter) === JSON.stringify(what.adapter),
    whole: await unzip(packed),
    twoMembers: await unzip(new Uint8Array([...packed, ...packed])),
    junkAtTheEnd: await unzip(new Uint8Array([...packed, 1, 2, 3])),
    cut: await unzip(packed.slice(0, -9)),
    violations,
  };
}

export const inBrowser = { download, loseFirstPart, appendAndRemove, packAndUnpack };
Object.assign(globalThis, { inBrowser });
