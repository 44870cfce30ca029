/** A local server with the routes of the Hub that a model download uses, and with faults on request. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeHub {
  url: string;
  /** Method, path and range of every request so far. */
  requests: string[];
  /** Content by file name; change it to publish a new commit. */
  files: Map<string, Uint8Array>;
  commit: string;
  /** What the next downloads suffer, one after another. */
  faults: Fault[];
  /** When set, every request needs this token. */
  token: string | null;
  close(): Promise<void>;
}

export type Fault =
  | { kind: 'drop'; after: number }
  | { kind: 'status'; status: number }
  | { kind: 'ignore-range' }
  | { kind: 'garble' };

const LARGE = 1000;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const etagOf = (bytes: Uint8Array): string =>
  bytes.byteLength > LARGE ? sha256(bytes) : sha256(bytes).slice(0, 40);

function tree(hub: FakeHub): unknown[] {
  const entries = [...hub.files].map(([path, bytes]) => ({
    type: 'file',
    oid: sha256(bytes).slice(0, 40),
    size: bytes.byteLength,
    path,
    ...(bytes.byteLength > LARGE
      ? { lfs: { oid: sha256(bytes), size: bytes.byteLength, pointerSize: 134 } }
      : {}),
  }));
  return [...entries, { type: 'directory', oid: '0'.repeat(40), size: 0, path: 'onnx' }];
}

/** Answers a download, whole or from an offset, with the fault that is due. */
function sendFile(hub: FakeHub, bytes: Uint8Array, request: IncomingMessage, response: ServerResponse): void {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const isProbe = request.headers.range === 'bytes=0-0';
  const fault = isProbe ? undefined : hub.faults.shift();
  if (fault?.kind === 'status') {
    response.writeHead(fault.status).end('no');
    return;
  }
  const whole = range === null || fault?.kind === 'ignore-range';
  const start = whole ? 0 : Number(range[1]);
  const end = whole || range[2] === '' ? bytes.byteLength : Math.min(Number(range[2]) + 1, bytes.byteLength);
  const size = bytes.byteLength;
  response.writeHead(whole ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': end - start,
    etag: `"${etagOf(bytes)}"`,
    'x-repo-commit': hub.commit,
    'accept-ranges': 'bytes',
    ...(whole ? {} : { 'content-range': `bytes ${String(start)}-${String(end - 1)}/${String(size)}` }),
    ...(size > LARGE ? { 'x-linked-etag': `"${etagOf(bytes)}"`, 'x-linked-size': String(size) } : {}),
  });
  const body = Buffer.from(bytes.slice(start, end));
  if (fault?.kind === 'garble') body[0] = (body[0] ?? 0) ^ 255;
  if (request.method === 'HEAD') response.end();
  else if (fault?.kind === 'drop') {
    response.write(body.subarray(0, fault.after), () => setTimeout(() => response.destroy(), 20));
  } else response.end(body);
}

function answer(hub: FakeHub, id: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? '/', 'http://local');
  hub.requests.push([request.method, pathname, request.headers.range].filter(Boolean).join(' '));
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-allow-headers', '*, authorization, range');
  response.setHeader(
    'access-control-expose-headers',
    '*, etag, content-range, x-repo-commit, x-linked-etag, link',
  );
  if (request.method === 'OPTIONS') {
    response.writeHead(204).end();
    return;
  }
  const json = (status: number, value: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };
  if (hub.token !== null && request.headers.authorization !== `Bearer ${hub.token}`) {
    json(401, { error: 'Invalid credentials' });
    return;
  }
  const revisions = ['main', hub.commit];
  const [, revision] = new RegExp(`^/api/models/${id}/(?:revision|tree)/([^/]+)$`).exec(pathname) ?? [];
  const [, resolved, file] = new RegExp(`^/${id}/resolve/([^/]+)/(.+)$`).exec(pathname) ?? [];
  const bytes = hub.files.get(file ?? '');
  if (revision !== undefined && revisions.includes(revision)) {
    if (pathname.includes('/tree/')) json(200, tree(hub));
    else json(200, { _id: '1', id, sha: hub.commit, private: false, downloads: 0, likes: 0, gated: false });
  } else if (resolved !== undefined && revisions.includes(resolved) && bytes !== undefined) {
    sendFile(hub, bytes, request, response);
  } else {
    response.setHeader('x-error-code', file === undefined ? 'RepoNotFound' : 'EntryNotFound');
    json(404, { error: 'not found' });
  }
}

/** Starts a Hub with one model of this id. */
export async function startFakeHub(id: string, files: ReadonlyMap<string, Uint8Array>): Promise<FakeHub> {
  const hub: FakeHub = {
    url: '',
    requests: [],
    files: new Map(files),
    commit: 'c0ffee'.padEnd(40, '0'),
    faults: [],
    token: null,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const server = createServer((request, response) => answer(hub, id, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  hub.url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return hub;
}
