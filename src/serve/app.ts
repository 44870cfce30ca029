/** The protocol over a backend: from a request to its answer, without sockets. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Backend } from '../api/backend.ts';
import { createArchiveLinks } from './archive-links.ts';
import type { ServeContext } from './context.ts';
import { failureReply, HttpFailure } from './failure.ts';
import { createFutures } from './futures.ts';
import { createGuard } from './guard.ts';
import { createModels } from './models.ts';
import { describeRoutes } from './openapi.ts';
import type { ServeOptions } from './options.ts';
import { json, type Reply } from './reply.ts';
import { createRouter, type Route } from './route.ts';
import { archiveRoutes } from './routes-archive.ts';
import { futureRoutes } from './routes-futures.ts';
import { modelRoutes } from './routes-models.ts';
import { registryRoutes } from './routes-registry.ts';
import { samplingRoutes } from './routes-sampling.ts';
import { savingRoutes } from './routes-saving.ts';
import { serviceRoutes } from './routes-service.ts';
import { trainingRoutes } from './routes-training.ts';
import { createSamplers } from './samplers.ts';
import { createSessions, type Sessions } from './sessions.ts';
import { createWorkQueue } from './work-queue.ts';

export interface Incoming {
  method: string;
  /** As in the request line. */
  url: string;
  headers: IncomingHttpHeaders;
  /** Reads the body; asked for only where the caller may call and the route is there. */
  body: () => Promise<Uint8Array>;
  signal: AbortSignal;
}

export interface ServeApp {
  readonly routes: readonly Route[];
  /** The answer; failures are answers too. */
  answer(request: Incoming): Promise<Reply>;
  /** Ends the sessions and unloads their models. The backend stays the caller's. */
  close(): Promise<void>;
}

const BASE = '/api/v1/';

/** A request line's path and query, taken as they are. Addresses of other kinds (proxies send them) are refused. */
function split(url: string): { pathname: string; searchParams: URLSearchParams } {
  if (!url.startsWith('/')) throw new HttpFailure(400, 'The address of the request is no path.');
  const query = url.indexOf('?');
  if (query < 0) return { pathname: url, searchParams: new URLSearchParams() };
  return { pathname: url.slice(0, query), searchParams: new URLSearchParams(url.slice(query + 1)) };
}

/** Starts nothing: no socket, no GPU. */
export function createServeApp(backend: Backend, options: ServeOptions): ServeApp {
  const { limits, log } = options;
  const futures = createFutures(limits);
  const queue = createWorkQueue(limits.running);
  const models = createModels({ backend, limits, futures, queue, sessions: () => sessions, log });
  const samplers = createSamplers(() => backend, limits, log);
  const sessions: Sessions = createSessions(
    limits,
    async ({ modelIds, samplerIds }) => {
      for (const id of samplerIds) await samplers.close(id);
      for (const id of modelIds) await models.end(id);
    },
    log,
  );
  const links = createArchiveLinks(limits.archiveSeconds);
  const context: ServeContext = { backend, options, futures, queue, sessions, models, samplers, links };
  const routes = [
    ...serviceRoutes(context),
    ...modelRoutes(context),
    ...trainingRoutes(context),
    ...savingRoutes(context),
    ...samplingRoutes(context),
    ...futureRoutes(context),
    ...registryRoutes(context),
    ...archiveRoutes(context),
  ];
  const router = createRouter(routes);
  const guard = createGuard(options);

  const answer = async ({ method, url, headers, body, signal }: Incoming): Promise<Reply> => {
    guard.checkOrigin(headers);
    const { pathname, searchParams } = split(url);
    if (pathname === '/openapi.json' && method === 'GET') {
      guard.checkKey(headers);
      return json(describeRoutes(routes, options));
    }
    if (!pathname.startsWith(BASE)) throw new HttpFailure(404, 'Not Found');
    const { route, params } = router.match(method, pathname.slice(BASE.length));
    if (!route.open) guard.checkKey(headers);
    const origin = `http://${headers.host ?? ''}`;
    return route.handle({ body: await body(), headers, query: searchParams, params, signal, origin });
  };

  return {
    routes,
    answer: (request) => answer(request).catch((error: unknown) => failureReply(error, log)),
    close: () => sessions.close(),
  };
}
