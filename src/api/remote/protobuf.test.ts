import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { APIResponseValidationError } from '../errors.ts';
import { checkSampling } from '../parameters.ts';
import { prepareTrainingCall } from '../training-call.ts';
import { protoFields, ProtoWriter, toDouble, toInt32, toInt64, toInts, toText } from './protobuf.ts';
import {
  decodeSampleResponse,
  decodeSamplingParams,
  encodeSampleResponse,
  encodeSamplingParams,
} from './proto-sample.ts';
import {
  decodeForwardBackwardOutput,
  decodeForwardBackwardRequest,
  encodeForwardBackwardOutput,
  encodeForwardBackwardRequest,
} from './proto-training.ts';

/** As Google's protobuf encodes them; fixtures/proto_goldens.py says what they hold. */
const goldens = JSON.parse(
  readFileSync(new URL('./fixtures/proto-goldens.json', import.meta.url), 'utf8'),
) as Record<string, string>;
const golden = (name: string): Uint8Array => Uint8Array.from(Buffer.from(goldens[name] ?? '', 'base64'));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('requests', () => {
  const datum = {
    modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: [5, 6, 2 ** 31 - 1] }] },
    // In the order of the deterministic encoding, which sorts the keys of maps.
    lossFnInputs: { advantages: [0, 1.5, -2], logprobs: [0, -0.25, -1], targetTokens: [6, 7, 8] },
  };

  it('are byte for byte those of protobuf', () => {
    const call = prepareTrainingCall([datum], 'ppo', { clip_high_threshold: 1.25, clip_low_threshold: 0.75 });
    const request = { modelId: 'session:train:0', seqId: 300, call, forwardOnly: true };
    expect(hex(encodeForwardBackwardRequest(request))).toBe(hex(golden('request')));
  });

  it('write images, and tensors as CSR where that is smaller', () => {
    const weights = [
      [0, 0, 0, 0, 0, 0, 0, 0.5],
      [0, 0, 0, 0, 0, 0, 0, 0],
    ];
    const targetTokens = [Array.from({ length: 8 }, (_, i) => i), Array.from({ length: 8 }, (_, i) => 8 + i)];
    const image = {
      type: 'image' as const,
      data: btoa('\x89PNG'),
      format: 'png' as const,
      expectedTokens: 0,
    };
    const chunks = [{ type: 'encoded_text' as const, tokens: [1, 2] }, image];
    const call = prepareTrainingCall(
      [{ modelInput: { chunks }, lossFnInputs: { targetTokens, weights } }],
      'cross_entropy',
    );
    expect(hex(encodeForwardBackwardRequest({ modelId: 'm', seqId: 1, call, forwardOnly: false }))).toBe(
      hex(golden('sparse')),
    );
    const decoded = decodeForwardBackwardRequest(golden('sparse'));
    expect(decoded.data[0]?.modelInput.chunks).toEqual(chunks);
    expect(prepareTrainingCall(decoded.data, 'cross_entropy').data).toEqual(call.data);
  });

  it('are read back', () => {
    const decoded = decodeForwardBackwardRequest(golden('request'));
    expect(decoded).toMatchObject({
      modelId: 'session:train:0',
      seqId: 300,
      lossFn: 'ppo',
      forwardOnly: true,
    });
    expect(decoded.lossFnConfig).toEqual({ clip_high_threshold: 1.25, clip_low_threshold: 0.75 });
    const call = prepareTrainingCall(decoded.data, 'ppo', decoded.lossFnConfig);
    expect(call).toEqual(prepareTrainingCall([datum], 'ppo', decoded.lossFnConfig));
  });
});

describe('results', () => {
  it('of training are read, bfloat16 widened, and the class name cut from the type', () => {
    expect(decodeForwardBackwardOutput(golden('output'))).toEqual({
      lossFnOutputType: 'TokenLoss',
      lossFnOutputs: [
        {
          logprobs: { data: [-1, -2, -3], dtype: 'float32', shape: [3] },
          wide: { data: [1, -2], dtype: 'float32', shape: [1, 2] },
        },
        {
          logprobs: { data: [-4, -5], dtype: 'float32', shape: [2] },
          wide: { data: [2, 3], dtype: 'float32', shape: [1, 2] },
        },
      ],
      metrics: { 'loss:sum': 12.5, 'tokens:sum': 0 },
    });
  });

  it('of training without a count take it from the first field', () => {
    expect(decodeForwardBackwardOutput(golden('empty')).lossFnOutputs).toHaveLength(2);
  });

  it('of training are written as they are read', () => {
    const output = {
      lossFnOutputType: 'ArrayRecord',
      lossFnOutputs: [
        {
          logprobs: { data: [-1, -2.5], dtype: 'float32' as const, shape: [2] },
          ids: { data: [1, 2], dtype: 'int64' as const, shape: [1, 2] },
        },
        {
          logprobs: { data: [], dtype: 'float32' as const, shape: [0] },
          ids: { data: [3, 4], dtype: 'int64' as const, shape: [1, 2] },
        },
      ],
      metrics: { 'loss:sum': -0.125 },
    };
    expect(decodeForwardBackwardOutput(encodeForwardBackwardOutput(output))).toEqual(output);
  });

  it('of sampling are byte for byte those of protobuf, with NaN and padding for null', () => {
    const response = {
      sequences: [
        { stopReason: 'length' as const, tokens: [1, 2], logprobs: [-0.5, -1.5] },
        { stopReason: 'stop' as const, tokens: [9] },
      ],
      promptLogprobs: [null, -0.5],
      topkPromptLogprobs: [
        null,
        [
          [4, Math.fround(-0.1)],
          [5, Math.fround(-0.2)],
        ] as [number, number][],
      ],
      promptCacheHitTokens: 7,
    };
    expect(decodeSampleResponse(golden('sample'))).toEqual(response);
    expect(hex(encodeSampleResponse(response))).toBe(hex(golden('sample')));
  });

  it('parameters of sampling, both kinds of stop', () => {
    const strings = checkSampling({
      maxTokens: 8,
      seed: 2 ** 40,
      temperature: 0.5,
      topP: 0.75,
      stop: ['a', 'ü'],
    });
    expect(hex(encodeSamplingParams(strings))).toBe(hex(golden('params')));
    expect(decodeSamplingParams(golden('params'))).toEqual(strings);
    const tokens = checkSampling({ temperature: 0, topK: 300, stop: [1, 300] });
    expect(hex(encodeSamplingParams(tokens))).toBe(hex(golden('tokens')));
    expect(decodeSamplingParams(golden('tokens'))).toEqual(tokens);
  });
});

describe('the wire format', () => {
  it('reads every number that it writes', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.double({ noNaN: true }),
        fc.string(),
        fc.array(fc.integer()),
        (a, b, c, d, e) => {
          const message = new ProtoWriter()
            .int(1, a)
            .int(2, b)
            .double(3, c)
            .string(4, d)
            .packed(5, e)
            .finish();
          const fields = new Map([...protoFields(message)].map((f) => [f.field, f]));
          const at = (n: number) => fields.get(n)!;
          expect(toInt32(at(1))).toBe(a);
          expect(toInt64(at(2))).toBe(b);
          expect(toDouble(at(3))).toBe(c);
          expect(toText(at(4))).toBe(d);
          expect(fields.has(5) ? toInts(at(5)).map(Number) : []).toEqual(e);
        },
      ),
    );
  });

  it('answers cut and changed messages with values or its own error, never with a hang', () => {
    const decoders = {
      request: decodeForwardBackwardRequest,
      output: decodeForwardBackwardOutput,
      sample: decodeSampleResponse,
      params: decodeSamplingParams,
    };
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(decoders)),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        (name, cut, at, byte) => {
          const whole = golden(name);
          const message = whole.slice(0, cut % (whole.length + 1));
          if (message.length > 0) message[at % message.length] = byte;
          let outcome: unknown;
          try {
            outcome = decoders[name as keyof typeof decoders](message);
          } catch (error) {
            outcome = error;
          }
          expect(
            outcome instanceof Error ? outcome instanceof APIResponseValidationError : typeof outcome,
          ).toBe(outcome instanceof Error ? true : 'object');
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('skips fields that it does not know', () => {
    const more = new ProtoWriter().int(99, 5).string(100, 'new').double(101, 1).float(102, 1).finish();
    const message = new Uint8Array([...golden('sample'), ...more]);
    expect(decodeSampleResponse(message)).toEqual(decodeSampleResponse(golden('sample')));
  });
});
