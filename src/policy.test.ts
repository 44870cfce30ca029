import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

// The policy stands twice, because hosts that take `_headers` cover the workers too: both must say the same.
it('sends the same content policy in the page and in the headers', async () => {
  const page = /content="(default-src[^"]*)"/.exec(await readFile('index.html', 'utf8'))?.[1];
  const header = /Content-Security-Policy: (.*)/.exec(await readFile('public/_headers', 'utf8'))?.[1];
  expect(page).toContain("default-src 'self'");
  expect(page).not.toContain('unsafe-inline');
  // Pages cannot forbid framing in a meta element.
  expect(header).toBe(`${page}; frame-ancestors 'none'`);
});
