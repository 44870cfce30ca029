/** Sampling sessions: which weights answer, and how many of them are held in memory. */
import type { Backend, BackendSampler, SamplerSource } from '../api/backend.ts';
import { HttpFailure } from './failure.ts';
import type { ServeLimits } from './options.ts';

export interface SamplerEntry {
  readonly id: string;
  readonly sessionId: string | null;
  readonly source: SamplerSource;
  readonly baseModel: string;
  /** `tinker://…`, or null for the base model and for snapshots without a name. */
  readonly modelPath: string | null;
  /** Requests by their number, to know them again. */
  readonly requests: Map<number, { print: string; requestId: string }>;
  /** Of clones of one client. */
  clones: number;
}

interface Held extends SamplerEntry {
  opened: Promise<BackendSampler> | null;
  uses: number;
  /** A snapshot without a name that had to make room: it cannot be opened again. */
  lost: boolean;
}

export interface Samplers {
  /** Opens the weights and enters them under the id. */
  open(
    o: { id: string; sessionId: string | null; modelPath: string | null },
    source: SamplerSource,
  ): Promise<SamplerEntry>;
  /** Throws 404, or 410 for a snapshot that is gone. */
  find(id: string): SamplerEntry;
  has(id: string): boolean;
  use<T>(entry: SamplerEntry, work: (sampler: BackendSampler) => Promise<T>): Promise<T>;
  close(id: string): Promise<void>;
}

/** Entries that are remembered, with or without weights in memory. */
const REMEMBERED = 4096;

export function createSamplers(
  backend: () => Backend,
  limits: Pick<ServeLimits, 'maxSamplers'>,
  log: (line: string) => void,
): Samplers {
  /** The least lately used first. */
  const entries = new Map<string, Held>();

  const shut = async (held: Held): Promise<void> => {
    const { opened } = held;
    held.opened = null;
    if ('samplerId' in held.source) held.lost = true;
    if (opened === null) return;
    try {
      await (await opened).close();
    } catch (error) {
      log(`error: ${String(error)}`);
    }
  };
  const makeRoom = async (): Promise<void> => {
    let open = [...entries.values()].filter(({ opened }) => opened !== null).length;
    for (const held of entries.values()) {
      if (open < limits.maxSamplers && entries.size < REMEMBERED) return;
      if (held.uses > 0) continue;
      if (held.opened !== null) {
        open -= 1;
        await shut(held);
      }
      if (entries.size >= REMEMBERED) entries.delete(held.id);
    }
  };
  const find = (id: string): Held => {
    const held = entries.get(id);
    if (held === undefined)
      throw new HttpFailure(404, `There is no sampling session ${JSON.stringify(id.slice(0, 100))}.`);
    if (held.lost)
      throw new HttpFailure(
        404,
        `The snapshot of ${id} had to make room for newer ones; save the weights under a name to keep them.`,
      );
    return held;
  };

  return {
    find,
    has: (id) => entries.has(id),
    open: async ({ id, sessionId, modelPath }, source) => {
      await makeRoom();
      const opened = backend().createSampler(source);
      const { baseModel } = await opened;
      const held: Held = {
        id,
        sessionId,
        source,
        baseModel,
        modelPath,
        requests: new Map(),
        clones: 0,
        opened,
        uses: 0,
        lost: false,
      };
      entries.set(id, held);
      return held;
    },
    use: async (entry, work) => {
      const held = find(entry.id);
      entries.delete(held.id);
      entries.set(held.id, held);
      held.uses += 1;
      try {
        if (held.opened === null) {
          await makeRoom();
          const again = backend().createSampler(held.source);
          held.opened = again;
          again.catch(() => {
            if (held.opened === again) held.opened = null;
          });
        }
        return await work(await held.opened);
      } finally {
        held.uses -= 1;
      }
    },
    close: async (id) => {
      const held = entries.get(id);
      if (held === undefined) return;
      entries.delete(id);
      await shut(held);
    },
  };
}
