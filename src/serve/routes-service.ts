/** The service itself: what clients ask it before they begin, and their sessions. */
import type { ServeContext } from './context.ts';
import { CAN_ZSTD } from './read-body.ts';
import { json } from './reply.ts';
import { route, type Route } from './route.ts';
import { readMetadata } from './wire-read.ts';
import { createSessionSchema, pageQuery, sessionSchema } from './wire-requests.ts';

/** Seconds after which clients ask for the changing part of the configuration again. */
const REFRESH_SECONDS = 3600;

export function serviceRoutes({ sessions, options }: ServeContext): Route[] {
  const { limits } = options;
  return [
    route({
      method: 'GET',
      path: 'healthz',
      summary: 'Whether the server runs.',
      open: true,
      handle: () => json({ status: 'ok' }),
    }),
    route({
      method: 'POST',
      path: 'client/config',
      summary: 'How clients should speak to this server.',
      handle: () =>
        json({
          pjwt_auth_enabled: false,
          credential_default_source: 'api_key',
          parallel_fwdbwd_chunks: true,
          // Between two programs of one machine, compressing costs more than it saves.
          proto_compress_fwdbwd: CAN_ZSTD && options.host !== '127.0.0.1' && options.host !== 'localhost',
          fwdbwd_max_chunk_len: 1024,
          fwdbwd_max_chunk_bytes_count: Math.min(5_000_000, Math.floor(limits.maxBody / 4)),
          fwdbwd_dispatch_bytes_semaphore_size: 50_000_000,
          create_model_via_load_weights: true,
          sample_max_concurrent_requests: Math.min(2000, limits.maxPending),
          sample_dispatch_bytes_semaphore_size: 10 * 2 ** 20,
          inflight_response_bytes_semaphore_size: 50 * 2 ** 20,
          // A small GPU may take long over a sample: that is no reason to give it up.
          sample_enable_stuck_detection: false,
          use_pyqwest_transport: true,
        }),
    }),
    route({
      method: 'POST',
      path: 'client/dynamic_config',
      summary: 'What of the configuration may change.',
      handle: () => json({ refresh_interval_sec: REFRESH_SECONDS, sample_cancel_enabled: false }),
    }),
    route({
      method: 'POST',
      path: 'telemetry',
      summary: 'Taken and thrown away: nothing is kept or sent on.',
      handle: () => json({ status: 'accepted' }),
    }),
    route({
      method: 'POST',
      path: 'create_session',
      summary: 'Begins a session; it lives while it is heard of.',
      body: createSessionSchema,
      handle: ({ body }) => {
        const { id } = sessions.create({
          displayName: body.display_name ?? null,
          userMetadata: readMetadata(body.user_metadata),
        });
        return json({
          type: 'create_session',
          session_id: id,
          info_message: null,
          warning_message: null,
          error_message: null,
        });
      },
    }),
    route({
      method: 'POST',
      path: 'session_heartbeat',
      summary: 'A sign of life.',
      body: sessionSchema,
      handle: ({ body }) => {
        sessions.find(body.session_id);
        return json({ type: 'session_heartbeat' });
      },
    }),
    route({
      method: 'GET',
      path: 'sessions',
      summary: 'The sessions that live.',
      query: pageQuery,
      handle: ({ query: { limit, offset } }) =>
        json({
          sessions: sessions
            .list()
            .slice(offset, offset + limit)
            .map(({ id }) => id),
        }),
    }),
    route({
      method: 'GET',
      path: 'sessions/:session',
      summary: 'A session.',
      handle: ({ params }) => {
        const { modelIds, samplerIds, userMetadata, displayName } = sessions.find(params['session'] ?? '');
        return json({
          training_run_ids: [...modelIds],
          sampler_ids: [...samplerIds],
          user_metadata: userMetadata,
          display_name: displayName,
        });
      },
    }),
    route({
      method: 'POST',
      path: 'sessions/:session/finish',
      summary: 'Ends a session: its models are unloaded.',
      handle: async ({ params }) => {
        const { id } = sessions.find(params['session'] ?? '');
        await sessions.end(id);
        return json({});
      },
    }),
  ];
}
