/** Every checkpoint that a service lists, whatever the length of its pages. */
import type { RestClient } from './rest-client.ts';
import type { Checkpoint } from './types.ts';

const PAGE = 100;

/** Asks for page after page until the service has said all. Throws what the connection throws. */
export async function allCheckpoints(rest: RestClient): Promise<Checkpoint[]> {
  const rows: Checkpoint[] = [];
  for (;;) {
    const { checkpoints, cursor } = await rest.listUserCheckpoints({ limit: PAGE, offset: rows.length });
    rows.push(...checkpoints);
    if (checkpoints.length === 0 || cursor === undefined || rows.length >= cursor.totalCount) return rows;
  }
}
