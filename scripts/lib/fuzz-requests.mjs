// Requests that nobody should send, and some that people do: made by fast-check, so that a seed gives the same ones.
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import {
  bytes,
  JSON_ROUTES,
  jsonBody,
  latin,
  PARTS,
  protobuf,
  READ_ROUTES,
  text,
  token,
} from './fuzz-values.mjs';

/**
 * @typedef {object} RawRequest
 * @property {string} kind
 * @property {Buffer[]} pieces what is written, one after the other
 * @property {number} pauseMs between pieces
 * @property {boolean} whole it is complete, so there must be an answer or an end
 * @property {boolean} leave the caller goes away at once after the last piece
 */

/**
 * @typedef {object} Place where it goes
 * @property {string} host
 * @property {string} origin
 * @property {string} prefix such as `/api/v1`
 * @property {readonly string[]} [ids] of sessions and models that there are
 */

const ODD_CHUNKS = [
  '0\r\nX: y\r\n\r\n',
  'ffffffffffffffff\r\n',
  '-1\r\n',
  'zz\r\n',
  '5;a=b\r\nabcde\r\n',
  '5\r\nab',
  `1;${'e'.repeat(20_000)}\r\na\r\n`,
  '\r\n',
  '3\nabc\n',
];

/**
 * All kinds of requests for one place.
 * @param {Place} place
 * @returns {fc.Arbitrary<RawRequest>}
 */
export function rawRequests({ host, origin, prefix, ids = [] }) {
  const from = `Host: ${host}\r\nOrigin: ${origin}\r\n`;
  /** @param {string} method @param {string} path @param {Buffer} body @param {string} headers */
  const post = (method, path, body, headers) =>
    Buffer.concat([
      bytes(
        `${method} ${path} HTTP/1.1\r\n${from}Connection: close\r\nContent-Length: ${body.length}\r\n${headers}\r\n`,
      ),
      body,
    ]);
  /** @param {Partial<RawRequest> & { kind: string, pieces: Buffer[] }} r @returns {RawRequest} */
  const request = (r) => ({ pauseMs: 0, whole: true, leave: false, ...r });
  const route = fc.constantFrom(...JSON_ROUTES).map((name) => `${prefix}/${name}`);
  const get = fc.constantFrom(...READ_ROUTES).map((name) => `${prefix}/${name}`);
  const anyPath = fc
    .tuple(
      fc.constantFrom(`${prefix}/`, `${prefix}/training_runs/`, '/', '//', 'http://evil.example/', '*', ''),
      fc.array(fc.oneof(fc.constantFrom(...PARTS), text), { maxLength: 5 }),
    )
    .map(([start, parts]) => start + parts.join('/').replace(/[\r\n ]/g, '_'));
  const JSON_TYPE = 'Content-Type: application/json\r\n';

  const json = fc
    .tuple(route, jsonBody(ids))
    .map(([path, body]) =>
      request({ kind: 'json', pieces: [post('POST', path, Buffer.from(body), JSON_TYPE)] }),
    );
  const proto = fc
    .tuple(fc.constantFrom('forward_backward', 'forward', 'asample', 'retrieve_future'), protobuf(ids))
    .map(([name, body]) =>
      request({
        kind: 'protobuf',
        pieces: [
          post(
            'POST',
            `${prefix}/${name}`,
            body,
            'Content-Type: application/x-protobuf\r\nAccept: application/x-protobuf\r\n',
          ),
        ],
      }),
    );
  const encoded = fc
    .tuple(
      route,
      fc.constantFrom('gzip', 'zstd', 'br', 'deflate', 'identity', 'x', 'gzip, gzip'),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
        fc.constant(gzipSync('{}')),
        fc.constant(gzipSync(Buffer.alloc(2 ** 22))),
      ),
    )
    .map(([path, encoding, body]) =>
      request({
        kind: 'encoded',
        pieces: [post('POST', path, body, `${JSON_TYPE}Content-Encoding: ${encoding}\r\n`)],
      }),
    );
  const paths = fc
    .tuple(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'), anyPath)
    .map(([method, path]) =>
      request({
        kind: 'path',
        pieces: [bytes(`${method} ${path} HTTP/1.1\r\n${from}Connection: close\r\n\r\n`)],
      }),
    );
  const reads = fc
    .tuple(fc.constantFrom('GET', 'HEAD', 'DELETE', 'PUT', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT'), get)
    .map(([method, path]) =>
      request({
        kind: 'method',
        pieces: [bytes(`${method} ${path} HTTP/1.1\r\n${from}Connection: close\r\n\r\n`)],
      }),
    );
  const headers = fc
    .tuple(
      get,
      fc.array(
        fc.tuple(
          fc.oneof(token, text),
          fc.oneof(
            latin,
            fc.constantFrom(
              '0',
              '-1',
              '1, 2',
              'chunked',
              'chunked, identity',
              'upgrade',
              '100-continue',
              host,
              '*',
              'x'.repeat(9000),
            ),
          ),
        ),
        { maxLength: 12 },
      ),
    )
    .map(([path, list]) =>
      request({
        kind: 'headers',
        whole: false,
        pieces: [
          bytes(`GET ${path} HTTP/1.1\r\n${from}${list.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`),
        ],
      }),
    );
  const many = fc.tuple(get, fc.integer({ min: 100, max: 3000 })).map(([path, n]) =>
    request({
      kind: 'many headers',
      pieces: [
        bytes(`GET ${path} HTTP/1.1\r\n${from}Connection: close\r\n${'X-Tinker-A: b\r\n'.repeat(n)}\r\n`),
      ],
    }),
  );
  const lines = fc
    .tuple(
      fc.oneof(latin, fc.constantFrom('GET', 'POST', 'get', 'PRI * HTTP/2.0', '')),
      fc.oneof(latin, anyPath),
      fc.constantFrom(' HTTP/1.1', ' HTTP/1.0', ' HTTP/9.9', ' HTTP/1.1 x', '', '\t'),
    )
    .map(([method, path, version]) =>
      request({ kind: 'line', whole: false, pieces: [bytes(`${method} ${path}${version}\r\n${from}\r\n`)] }),
    );
  const noise = fc
    .oneof(
      fc.uint8Array({ maxLength: 500 }).map((b) => Buffer.from(b)),
      fc.constant(Buffer.from('1603010200010001fc0303', 'hex')),
      fc.constant(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')),
    )
    .map((b) => request({ kind: 'noise', whole: false, pieces: [b] }));
  const chunk = fc
    .string({ minLength: 1, maxLength: 50 })
    .map((s) => `${Buffer.byteLength(s).toString(16)}\r\n${s}\r\n`);
  const oddChunk = fc.constantFrom(...ODD_CHUNKS);
  const chunked = fc
    .tuple(route, fc.array(chunk, { maxLength: 8 }), fc.option(oddChunk), fc.boolean())
    .map(([path, list, odd, ends]) => {
      const head = `POST ${path} HTTP/1.1\r\n${from}Connection: close\r\n${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n`;
      const body = `${list.join('')}${odd ?? ''}${ends ? '0\r\n\r\n' : ''}`;
      return request({ kind: 'chunked', whole: ends && odd === null, pieces: [Buffer.from(head + body)] });
    });
  const huge = fc
    .tuple(route, fc.constantFrom(2 ** 31, 10 ** 12, Number.MAX_SAFE_INTEGER, 300 * 2 ** 20), fc.nat(3))
    .map(([path, length, mib]) =>
      request({
        kind: 'huge',
        whole: false,
        pieces: [
          bytes(
            `POST ${path} HTTP/1.1\r\n${from}Connection: close\r\n${JSON_TYPE}Content-Length: ${length}\r\n\r\n`,
          ),
          ...Array.from({ length: mib }, () => Buffer.alloc(2 ** 20, 0x20)),
        ],
      }),
    );
  const smuggle = fc
    .tuple(
      route,
      fc.constantFrom(
        'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n',
        'Content-Length: 4\r\nContent-Length: 5\r\n',
        'Transfer-Encoding: xchunked\r\n',
        'Transfer-Encoding : chunked\r\n',
        'Content-Length: +4\r\n',
        'Content-Length: 0x4\r\n',
        'Host: evil.example\r\n',
        'X: a\r\n b\r\n',
        'X\u0000: a\r\n',
      ),
    )
    .map(([path, more]) =>
      request({
        kind: 'smuggle',
        whole: false,
        pieces: [
          bytes(`POST ${path} HTTP/1.1\r\n${from}${more}\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n`),
        ],
      }),
    );
  const slow = fc
    .tuple(
      fc.oneof(json, proto, paths),
      fc.integer({ min: 2, max: 12 }),
      fc.integer({ min: 5, max: 150 }),
      fc.boolean(),
    )
    .map(([{ pieces }, parts, pauseMs, all]) => {
      const whole = Buffer.concat(pieces);
      const size = Math.ceil(whole.length / parts);
      const cut = Array.from({ length: parts }, (_, i) => whole.subarray(i * size, (i + 1) * size)).filter(
        (p) => p.length > 0,
      );
      return request({ kind: 'slow', whole: all, pauseMs, pieces: all ? cut : cut.slice(0, -1) });
    });
  const leaving = fc
    .tuple(fc.oneof(json, proto, reads), fc.double({ min: 0.05, max: 1, noNaN: true }))
    .map(([{ pieces }, share]) => {
      const all = Buffer.concat(pieces);
      return request({
        kind: 'leaving',
        whole: false,
        leave: true,
        pieces: [all.subarray(0, Math.ceil(all.length * share))],
      });
    });
  const line = fc.array(fc.oneof(reads, json), { minLength: 2, maxLength: 8 }).map((list) =>
    request({
      kind: 'pipelined',
      whole: false,
      pieces: [
        Buffer.concat(
          list.flatMap(({ pieces }) =>
            pieces.map((p) => bytes(p.toString('latin1').replace('Connection: close\r\n', ''))),
          ),
        ),
      ],
    }),
  );
  return fc.oneof(
    { weight: 8, arbitrary: json },
    { weight: 4, arbitrary: proto },
    { weight: 2, arbitrary: encoded },
    { weight: 5, arbitrary: paths },
    { weight: 3, arbitrary: reads },
    { weight: 3, arbitrary: headers },
    { weight: 1, arbitrary: many },
    { weight: 2, arbitrary: lines },
    { weight: 2, arbitrary: noise },
    { weight: 3, arbitrary: chunked },
    { weight: 2, arbitrary: huge },
    { weight: 2, arbitrary: smuggle },
    { weight: 2, arbitrary: slow },
    { weight: 2, arbitrary: leaving },
    { weight: 1, arbitrary: line },
  );
}

/**
 * The same requests for the same seed.
 * @param {Place} place
 * @param {number} count
 * @param {number} seed
 */
export const sampleRequests = (place, count, seed) => fc.sample(rawRequests(place), { numRuns: count, seed });
