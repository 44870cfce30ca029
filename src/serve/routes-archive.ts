/** Archives of sampler checkpoints: the address of one, and the bytes behind it. */
import { formatPath, kindOf, type ParsedCheckpointPath } from '../api/paths.ts';
import type { ServeContext } from './context.ts';
import { HttpFailure } from './failure.ts';
import { pathOfParams } from './paths.ts';
import { json, type Reply, type StreamReply } from './reply.ts';
import { route, type Route } from './route.ts';
import { ofCheckpoint } from './routes-registry.ts';
import { archiveQuery } from './wire-requests.ts';

const routeOf = ({ runId, checkpointType, name }: ParsedCheckpointPath): string =>
  `training_runs/${encodeURIComponent(runId)}/checkpoints/${kindOf(checkpointType)}/${encodeURIComponent(name)}/download`;

const signed = ({ runId, checkpointType, name }: ParsedCheckpointPath): string =>
  formatPath('tinker', runId, checkpointType, name);

/** The first byte that is wanted: `bytes=N-`, the only range that resuming needs. Others are answered whole. */
export function firstByte(range: string | undefined): number {
  const found = /^bytes=(\d{1,15})-$/.exec(range ?? '');
  return found === null ? 0 : Number(found[1]);
}

/** A plain tar of the adapter, as the family's archives are. */
const ARCHIVE = { format: 'tar', layout: 'tinker' } as const;

/** A name that needs no quoting in a header. */
const plain = (name: string): string => name.replaceAll(/[^A-Za-z0-9._-]/g, '_');

/** How long an archive is whose backend does not say: the same checkpoint gives the same bytes, so they are counted. */
async function countBytes(
  { backend }: ServeContext,
  path: ParsedCheckpointPath,
  signal: AbortSignal,
): Promise<number> {
  const { body } = await backend.registry.download(path, { ...ARCHIVE, from: 0, signal });
  let count = 0;
  for await (const part of body as unknown as AsyncIterable<Uint8Array>) count += part.byteLength;
  return count;
}

async function download(
  context: ServeContext,
  path: ParsedCheckpointPath,
  range: string | undefined,
  signal: AbortSignal,
): Promise<StreamReply> {
  const wanted = firstByte(range);
  // A part is announced with the length of the whole.
  const counted = wanted === 0 ? null : await countBytes(context, path, signal);
  if (counted !== null && wanted >= counted) {
    throw new HttpFailure(416, `The archive has ${String(counted)} bytes.`, {
      'Content-Range': `bytes */${String(counted)}`,
    });
  }
  const found = await context.backend.registry.download(path, { ...ARCHIVE, from: wanted, signal });
  const { from } = found;
  const totalBytes = found.totalBytes ?? counted;
  const headers: Record<string, string> = {
    'Content-Disposition': `attachment; filename="${plain(`${path.runId}_${path.name}`)}.tar"`,
    'Accept-Ranges': 'bytes',
  };
  if (totalBytes !== null) headers['Content-Length'] = String(totalBytes - from);
  if (from > 0 && totalBytes !== null)
    headers['Content-Range'] = `bytes ${String(from)}-${String(totalBytes - 1)}/${String(totalBytes)}`;
  if (found.sha256 !== null) headers['X-Checksum-Sha256'] = found.sha256;
  return {
    kind: 'stream',
    status: from > 0 ? 206 : 200,
    type: 'application/x-tar',
    body: found.body,
    headers,
  };
}

export function archiveRoutes(context: ServeContext): Route[] {
  const { backend, models, links } = context;
  return [
    ...ofCheckpoint('/archive', (path) =>
      route({
        method: 'GET',
        path,
        summary: 'Leads to the archive: 302 with Location and Expires.',
        handle: async ({ params, origin }): Promise<Reply> => {
          const wanted = pathOfParams(models, params);
          // Unknown ones are told here and not behind the redirect.
          await backend.registry.weightsInfo(wanted, null);
          const { expires, signature } = links.sign(signed(wanted));
          const url = `${origin}/api/v1/${routeOf(wanted)}?expires=${String(expires)}&signature=${signature}`;
          const until = new Date(expires * 1000);
          return json({ url, expires: until.toISOString() }, 302, {
            Location: url,
            Expires: until.toUTCString(),
          });
        },
      }),
    ),
    route({
      method: 'GET',
      path: 'training_runs/:run/checkpoints/:kind=weights|sampler_weights/:name/download',
      summary: 'The archive itself, whole or from a byte on (Range).',
      query: archiveQuery,
      open: true,
      handle: ({ params, query, headers, signal }) => {
        const wanted = pathOfParams(models, params);
        links.check(signed(wanted), query.expires, query.signature);
        return download(context, wanted, headers.range, signal);
      },
    }),
  ];
}
