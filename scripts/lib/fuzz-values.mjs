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

/** Numbers of tokens, weights and turns: mostly usable ones. */
const number = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 40 }) },
  { weight: 1, arbitrary: odd },
);
const list = fc.oneof(
  { weight: 8, arbitrary: fc.array(number, { maxLength: 12 }) },
  { weight: 1, arbitrary: odd },
);

/**
 * Bodies of calls that nearly say something: a model that there is, data that mostly fits, with faults.
 * @param {readonly string[]} ids
 */
const nearly = (ids) => {
  const id = fc.constantFrom(...ids);
  const chunk = fc.record({ type: fc.constantFrom('encoded_text', 'image', 'x'), tokens: list });
  const datum = fc.record({
    model_input: fc.record({ chunks: fc.array(chunk, { maxLength: 3 }) }),
    loss_fn_inputs: fc.dictionary(
      fc.constantFrom('target_tokens', 'weights', 'logprobs', 'advantages', 'x'),
      fc.record({ data: list }),
    ),
  });
  const input = fc.record({
    data: fc.array(datum, { maxLength: 3 }),
    loss_fn: fc.constantFrom('cross_entropy', 'importance_sampling', 'ppo', 'cispo', 'dro', 'x'),
    loss_fn_config: fc.oneof(fc.constant(null), fc.dictionary(text, number)),
  });
  return fc.record(
    {
      session_id: id,
      model_id: id,
      seq_id: number,
      forward_backward_input: input,
      forward_input: input,
      adam_params: fc.dictionary(
        fc.constantFrom('learning_rate', 'beta1', 'beta2', 'eps', 'weight_decay'),
        number,
      ),
      path: fc.oneof(id, text, fc.constantFrom('a', '../a', 'tinker://a/weights/b')),
      sampling_session_id: id,
      base_model: fc.constantFrom('tiny', 'bigram', 'x'),
      prompt: fc.record({ chunks: fc.array(chunk, { maxLength: 2 }) }),
      sampling_params: fc.record({ max_tokens: number, temperature: number, seed: number }),
      num_samples: number,
      request_id: fc.oneof(id, number.map(String)),
      ttl_seconds: number,
      optimizer: fc.boolean(),
    },
    { requiredKeys: ['model_id', 'seq_id', 'session_id'] },
  );
};

/**
 * Bodies of a route in JSON, mostly with some of its fields and odd values.
 * @param {readonly string[]} ids of sessions and models that there are
 */
export const jsonBody = (ids) =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.dictionary(fc.constantFrom(...FIELDS), odd, { maxKeys: 8 }).map((o) => JSON.stringify(o)),
    },
    ...(ids.length > 0 ? [{ weight: 8, arbitrary: nearly(ids).map((o) => JSON.stringify(o)) }] : []),
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
/**
 * Garbage, and passes with faults: of a model that there is, where there is one.
 * @param {readonly string[]} ids
 */
export const protobuf = (ids) => {
  const pass = (/** @type {string} */ id) =>
    Buffer.concat([
      block(1, bytes(id)),
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
  const whole = fc.constantFrom(...(ids.length > 0 ? ids : ['model'])).map(pass);
  return fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
    fc
      .tuple(whole, fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { maxLength: 6 }))
      .map(([given, changes]) => {
        const copy = Buffer.from(given);
        for (const [at, value] of changes) copy[at % copy.length] = value;
        return copy;
      }),
    fc.tuple(whole, fc.nat(1000)).map(([given, n]) => given.subarray(0, n % (given.length + 1))),
    // Groups in groups, and a length beyond the end.
    fc.nat(5000).map((n) => Buffer.alloc(n, 0x0b)),
    fc.constant(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
  );
};
