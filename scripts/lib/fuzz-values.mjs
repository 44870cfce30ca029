// Values for requests that nobody should send: paths, bodies in JSON and in protobuf, headers.
import fc from 'fast-check';

export const JSON_ROUTES = [
  'client/config',
  'create_session',
  'session_heartbeat',
  'create_model',
  'get_info',
  'unload_model',
  'forward_backward',
  'forward',
  'optim_step',
  'save_weights',
  'save_weights_for_sampler',
  'load_weights',
  'create_sampling_session',
  'asample',
  'retrieve_future',
  'retrieve_futures',
  'weights_info',
  'telemetry',
];
export const READ_ROUTES = [
  'healthz',
  'get_server_capabilities',
  'training_runs',
  'training_runs/a',
  'training_runs/a/checkpoints',
  'checkpoints',
  'checkpoints?limit=1&offset=2',
  'checkpoints?limit=-1&offset=NaN',
  'samplers/x',
  'sessions/x',
  'training_runs/a/checkpoints/weights/b/archive',
  'training_runs/a/checkpoints/sampler_weights/b/archive',
  'a/download',
];
const FIELDS = [
  'session_id',
  'model_id',
  'seq_id',
  'model_seq_id',
  'base_model',
  'lora_config',
  'forward_backward_input',
  'forward_input',
  'adam_params',
  'path',
  'ttl_seconds',
  'optimizer',
  'request_id',
  'sampling_session_id',
  'prompt',
  'num_samples',
  'sampling_params',
  'model_path',
  'type',
  '__proto__',
  'constructor',
];
export const PARTS = [
  '..',
  '.',
  '%2e%2e',
  '%2E.',
  '..%2f',
  '%2f',
  '%5c',
  '\\',
  '%00',
  '%0d%0aX: y',
  '%',
  '%zz',
  '%ff%fe',
  '%25%32%65',
  '%c0%ae%c0%ae',
  'a;b',
  '~',
  '*',
  'etc/passwd',
  'a'.repeat(300),
  'weights',
  'archive',
  'sampler_weights',
  '%E2%80%AE',
  'CON',
  '$(id)',
  "'--",
];
const odd = fc.oneof(
  fc.constantFrom(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 31,
    -(2 ** 53),
    1e308,
    '',
    'NaN',
    '../..',
    '\u0000',
    'x'.repeat(70_000),
    [],
    {},
  ),
  fc.jsonValue({ maxDepth: 3 }),
);
export const text = fc.string({ maxLength: 40 });
export const latin = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
export const token = fc.constantFrom(
  'Accept',
  'Content-Type',
  'X-API-Key',
  'X-Idempotency-Key',
  'X-Tinker-A',
  'Range',
  'Cookie',
  'Te',
  'Expect',
  'Upgrade',
  'Connection',
  'Transfer-Encoding',
  'Content-Length',
  'Host',
  'Origin',
  'Content-Encoding',
  'Authorization',
  'X-Forwarded-Host',
  'Trailer',
  '__proto__',
);

/** @param {string} value */
export const bytes = (value) => Buffer.from(value, 'latin1');

/** Bodies of a route in JSON, mostly with some of its fields and odd values. */
export const jsonBody = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.dictionary(fc.constantFrom(...FIELDS), odd, { maxKeys: 8 }).map((o) => JSON.stringify(o)),
  },
  { weight: 1, arbitrary: fc.jsonValue().map((v) => JSON.stringify(v)) },
  { weight: 1, arbitrary: latin },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 50_000 }).map((n) => '['.repeat(n)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '',
      '{',
      '{"a":1e999}',
      '{"a":NaN}',
      '\ufeff{}',
      '{"a":"\ud800"}',
      '{"seq_id":1,"seq_id":2}',
    ),
  },
);

/** @param {number} field @param {Buffer} content */
const block = (field, content) =>
  Buffer.concat([Buffer.from([(field << 3) | 2]), varint(content.length), content]);
/** @param {number} value */
function varint(value) {
  const out = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...out, left]);
    out.push((left % 128) | 128);
  }
}
const tokens = Buffer.from(new Int32Array([1, 2, 3]).buffer);
const tensor = Buffer.concat([block(1, tokens), Buffer.from([0x18, 3]), block(4, Buffer.from([3]))]);
/** A pass that would be taken if there were the model. */
const PASS = Buffer.concat([
  block(1, bytes('model')),
  Buffer.from([0x10, 1]),
  block(
    3,
    Buffer.concat([
      block(1, block(1, block(1, tokens))),
      block(2, Buffer.concat([block(1, bytes('target_tokens')), block(2, tensor)])),
    ]),
  ),
  block(4, bytes('cross_entropy')),
]);
export const protobuf = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
  fc.array(fc.tuple(fc.nat(PASS.length - 1), fc.nat(255)), { maxLength: 6 }).map((changes) => {
    const copy = Buffer.from(PASS);
    for (const [at, value] of changes) copy[at] = value;
    return copy;
  }),
  fc.nat(PASS.length).map((n) => PASS.subarray(0, n)),
  // Groups in groups, and a length beyond the end.
  fc.nat(5000).map((n) => Buffer.alloc(n, 0x0b)),
  fc.constant(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
);
