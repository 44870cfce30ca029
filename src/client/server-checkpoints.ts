/** Checkpoints on a training server, by way of a relay on this machine: listed, and fetched to be looked at. */
import type { ServiceClient } from '../api/service-client.ts';
import { StudioError } from '../errors.ts';
import { DOING } from '../stores/kept-notes.ts';
import { type ServerRow, serverStore } from '../stores/server-store.ts';
import { doKept } from './checkpoints.ts';
import { lookAt } from './dropped-checkpoint.ts';

/** Somebody waits for the list: a relay that is not there is told soon. */
const TIMING = { attempts: 2, requestSeconds: 20, closeSeconds: 2 };

async function withService<T>(work: (service: ServiceClient) => Promise<T>): Promise<T> {
  const baseUrl = serverStore.getState().address.trim();
  // The clients are large and seldom wanted.
  const { ServiceClient } = await import('../api/service-client.ts');
  const service = new ServiceClient({
    backend: { baseUrl, relayUrl: baseUrl, timing: TIMING },
    // The server's warnings are about training there.
    onWarning: () => undefined,
  });
  try {
    return await work(service);
  } catch (error) {
    if (!(error instanceof StudioError) || error.code !== 'API_CONNECTION') throw error;
    // A page is not told why: nobody there, or a relay that does not take this page.
    throw new StudioError({
      code: error.code,
      message: `No relay that takes this page answers at ${baseUrl}.`,
      fix: 'Start one with the line below, and type the address that it prints.',
    });
  } finally {
    await service.close();
  }
}

/** Asks the server what it has; the rows are in the store then, or the error is among the notes. */
export function listServer(): Promise<void> {
  serverStore.setState({ rows: null });
  return doKept(DOING.asking(), () =>
    withService(async (service) => {
      const { allCheckpoints } = await import('../api/all-checkpoints.ts');
      const found = await allCheckpoints(service.createRestClient());
      const rows = found.map((checkpoint): ServerRow => {
        const { path, sizeBytes, createTime, checkpointType } = checkpoint;
        const parts = path.split('/');
        return {
          path,
          run: parts[2] ?? '',
          name: parts.at(-1) ?? path,
          isSampler: checkpointType === 'sampler',
          size: sizeBytes ?? null,
          createdAt: createTime,
        };
      });
      serverStore.setState({ rows });
    }),
  );
}

/** Downloads a checkpoint's archive, and looks at it as at a file that was dropped. */
export async function fetchFromServer(row: ServerRow): Promise<void> {
  let file: File | null = null;
  const stop = new AbortController();
  await doKept(
    DOING.fetching(row.name),
    (tell) =>
      withService(async (service) => {
        const { bytes, fileName } = await service.createRestClient().downloadCheckpointArchive(row.path, {
          signal: stop.signal,
          onProgress: (done, total) => {
            tell({ label: row.name, done, total: total ?? 0 });
          },
        });
        const ending = /\.[a-z]+(\.gz)?$/.exec(fileName)?.[0] ?? '';
        if (bytes !== undefined) file = new File([new Uint8Array(bytes)], `${row.name}${ending}`);
      }),
    () => ({}),
    () => {
      const message = 'The download was stopped.';
      stop.abort(new StudioError({ code: 'CANCELLED', message, fix: 'Fetch it again.' }));
    },
  );
  const got: File | null = file;
  if (got !== null) await lookAt([{ path: (got as File).name, file: got }]);
}
