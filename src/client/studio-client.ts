/** The training worker as seen from the page: started once, on first use. */
import { type Remote, wrap } from 'comlink';
import type { StudioApi } from '../../workers/api.ts';
import { StudioError } from '../errors.ts';

export interface StudioClient {
  api: Remote<StudioApi>;
  /** Rejects when the worker breaks as a whole; its calls would never be answered then. */
  broken: Promise<never>;
}

let client: StudioClient | null = null;

/** The worker, started when it is not there yet. */
export function studioClient(): StudioClient {
  client ??= startWorker();
  return client;
}

function startWorker(): StudioClient {
  const worker = new Worker(new URL('../../workers/train.worker.ts', import.meta.url), { type: 'module' });
  const broken = new Promise<never>((_, reject) => {
    worker.addEventListener('error', (event) => {
      reject(
        new StudioError({
          code: 'INTERNAL',
          message: `The training worker stopped: ${event.message || 'it could not be loaded'}.`,
          fix: 'Load the page again.',
        }),
      );
    });
  });
  broken.catch(() => undefined);
  return { api: wrap<StudioApi>(worker), broken };
}

/** Calls the worker; rejects too when the worker breaks before it answers. */
export async function callWorker<Answer>(call: (api: Remote<StudioApi>) => Promise<Answer>): Promise<Answer> {
  const { api, broken } = studioClient();
  return Promise.race([call(api), broken]);
}
