/** What the routes share. */
import type { Backend } from '../api/backend.ts';
import type { ArchiveLinks } from './archive-links.ts';
import type { Futures } from './futures.ts';
import type { Models } from './models.ts';
import type { ServeOptions } from './options.ts';
import type { Samplers } from './samplers.ts';
import type { Sessions } from './sessions.ts';
import type { WorkQueue } from './work-queue.ts';

export interface ServeContext {
  readonly backend: Backend;
  readonly options: ServeOptions;
  readonly futures: Futures;
  readonly queue: WorkQueue;
  readonly sessions: Sessions;
  readonly models: Models;
  readonly samplers: Samplers;
  readonly links: ArchiveLinks;
}
