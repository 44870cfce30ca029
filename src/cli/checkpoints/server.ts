/** Checkpoints that lie on a server of the Tinker protocol: listed beside those here, and fetched into the store. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allCheckpoints } from '../../api/all-checkpoints.ts';
import { ServiceClient } from '../../api/service-client.ts';
import type { Checkpoint } from '../../api/types.ts';
import { StudioError } from '../../errors.ts';
import type { ByteSource } from '../../formats/bytes.ts';
import { openPath } from '../../storage/node-fs.ts';
import type { FileSet } from '../../formats/file-set.ts';
import { note } from './open.ts';

/** A row of a server as the list prints it. */
export interface ServerRow {
  path: string;
  kind: 'full' | 'sampler';
  step: number | null;
  createdAt: string;
  size: number | null;
  base: string | null;
}

async function withServer<T>(server: string, work: (service: ServiceClient) => Promise<T>): Promise<T> {
  const service = new ServiceClient({
    backend: { baseUrl: server },
    onWarning: ({ message }) => {
      note(message);
    },
  });
  try {
    return await work(service);
  } finally {
    await service.close();
  }
}

const toRow = (row: Checkpoint): ServerRow => ({
  path: row.path,
  kind: row.checkpointType === 'training' ? 'full' : 'sampler',
  step: row.step ?? null,
  createdAt: row.createTime,
  size: row.sizeBytes ?? null,
  base: row.baseModel ?? null,
});

/** All checkpoints of a server. Throws what the connection throws. */
export function serverRows(server: string): Promise<ServerRow[]> {
  return withServer(server, async (service) =>
    (await allCheckpoints(service.createRestClient())).map((row) => toRow(row)),
  );
}

/**
 * Downloads a checkpoint's archive and hands it over; the file is gone afterwards. Servers of the family hand out sampler
 * weights alone: of a training checkpoint save those first.
 */
export async function withServerArchive<T>(
  server: string,
  path: string,
  work: (source: FileSet | ByteSource) => Promise<T>,
): Promise<T> {
  if (!path.includes('://')) {
    throw new StudioError({
      code: 'CHECKPOINT_PATH',
      message: `With --server, ${path} is no checkpoint of a server.`,
      fix: 'Name it as the list does: tinker://RUN/sampler_weights/NAME.',
    });
  }
  const folder = await mkdtemp(join(tmpdir(), 'lorikeet-download-'));
  try {
    const file = join(folder, 'archive.tar.gz');
    await withServer(server, async (service) => {
      const handle = await open(file, 'w');
      try {
        const sink = {
          write: async (bytes: Uint8Array) => void (await handle.write(bytes)),
          restart: () => handle.truncate(0),
        };
        await service.createRestClient().downloadCheckpointArchive(path, { sink });
      } finally {
        await handle.close();
      }
    });
    return await work(await openPath(file));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
