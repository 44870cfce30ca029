/** Asking for results: the question is held open until the result is there, for a while. */
import { encodeForwardBackwardOutput } from '../api/remote/proto-training.ts';
import { encodeSampleResponse } from '../api/remote/proto-sample.ts';
import type { ServeContext } from './context.ts';
import { sizeOf, type Future, type FutureValue, type Outcome } from './futures.ts';
import { bytes, json, type Reply } from './reply.ts';
import { PROTOBUF, route, type Route } from './route.ts';
import { futureSchema } from './wire-requests.ts';
import { writePass, writeSample } from './wire-write.ts';

/** Resolves with the outcome, or with null after the time or when the caller has gone. */
async function waitFor(future: Future, seconds: number, signal: AbortSignal): Promise<Outcome | null> {
  if (future.outcome !== null) return future.outcome;
  let stop: () => void = () => undefined;
  const over = new Promise<null>((resolve) => {
    const timer = setTimeout(() => resolve(null), seconds * 1000);
    const leave = (): void => resolve(null);
    signal.addEventListener('abort', leave, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
    };
  });
  try {
    return await Promise.race([future.done, over]);
  } finally {
    stop();
  }
}

function writeValue(value: FutureValue, protobuf: boolean): Reply {
  switch (value.type) {
    case 'json':
      return json(value.body);
    case 'pass':
      return protobuf
        ? bytes(encodeForwardBackwardOutput(value.output), PROTOBUF)
        : json(writePass(value.output));
    case 'sample':
      return protobuf
        ? bytes(encodeSampleResponse(value.response), PROTOBUF)
        : json(writeSample(value.response));
    default:
      return value satisfies never;
  }
}

export function futureRoutes({ futures, options }: ServeContext): Route[] {
  const { pollSeconds, inlineBytes } = options.limits;
  return [
    route({
      method: 'POST',
      path: 'retrieve_future',
      summary: 'The result of a request. 408: not there yet, ask again. 410: it was there and is gone.',
      body: futureSchema,
      handle: async ({ body, headers, signal }) => {
        const future = futures.find(body.request_id);
        const outcome = await waitFor(future, pollSeconds, signal);
        if (outcome === null) {
          return json(
            {
              type: 'try_again',
              request_id: future.id,
              queue_state: 'active',
              detail: 'The result is not there yet; ask again.',
            },
            408,
          );
        }
        // A failure is an answer like others: the request for it has succeeded.
        if (!outcome.ok) return json(outcome.failed);
        const size = sizeOf(outcome);
        if (body.allow_metadata_only === true && size > inlineBytes)
          return json({ status: 'complete_metadata', response_payload_size: size });
        return writeValue(outcome.value, (headers.accept ?? '').includes(PROTOBUF));
      },
    }),
  ];
}
