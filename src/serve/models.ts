/** Models in training: who they belong to, the order of their requests, and the names they are known by. */
import type { Accepted, Backend, BackendModel, CreatedModel, Turn } from '../api/backend.ts';
import { ClientClosedError } from '../api/own-errors.ts';
import { HttpFailure } from './failure.ts';
import type { Future, Futures, FutureValue } from './futures.ts';
import type { ServeLimits } from './options.ts';
import type { Sessions } from './sessions.ts';
import { createTurns, type Turns } from './turns.ts';
import type { WorkQueue } from './work-queue.ts';

export interface ModelEntry {
  /** The run: what its checkpoints are filed under. */
  readonly id: string;
  readonly sessionId: string;
  readonly model: BackendModel;
  readonly turns: Turns;
  /** Ends when the last request so far was taken by the backend; never rejects. */
  issued: Promise<void>;
  /** Ends with the last save under a name so far; never rejects. */
  saved: Promise<void>;
  closed: boolean;
}

/** What a model is asked to do in its turn. */
export type ModelWork = (model: BackendModel, turn: Turn) => Promise<Accepted<FutureValue>>;

export interface Models {
  /** Makes a model; the same number of a session with the same content is the same model. */
  create(
    o: { sessionId: string; seq: number; print: string },
    make: (backend: Backend) => Promise<CreatedModel>,
    answer: (entry: ModelEntry, created: CreatedModel) => Record<string, unknown>,
  ): Future;
  /** Throws 404 for a model that is not there, and 410 for one that was unloaded. */
  find(id: string): ModelEntry;
  /** The run of a model's other name; other ids as they are. */
  runOf(id: string): string;
  /** Does the work after what was issued before it, in the queue of the GPU. */
  issue(entry: ModelEntry, seqId: number, work: ModelWork): Promise<FutureValue>;
  unload(entry: ModelEntry): Promise<void>;
  /** Unloads a model whose session has ended. */
  end(id: string): Promise<void>;
}

interface Parts {
  backend: Backend;
  limits: ServeLimits;
  futures: Futures;
  queue: WorkQueue;
  sessions: () => Sessions;
  log: (line: string) => void;
}

const ROOM_STEP_SECONDS = 0.25;

/** Other names that are remembered: those of models that clients name themselves. */
const REMEMBERED = 10_000;

/** The name under which clients know a model that they made by a load. */
export const aliasOf = (sessionId: string, seq: number): string => `${sessionId}:train:${String(seq)}`;

export function createModels({ backend, limits, futures, queue, sessions, log }: Parts): Models {
  const entries = new Map<string, ModelEntry>();
  const aliases = new Map<string, string>();
  const made = new Map<string, { print: string; requestId: string }>();
  const gone = new Set<string>();
  let making = 0;

  const remember = <T>(map: Map<string, T>, key: string, value: T): void => {
    map.set(key, value);
    for (const old of map.keys()) {
      if (map.size <= REMEMBERED) break;
      map.delete(old);
    }
  };

  const enter = (sessionId: string, seq: number, { model }: CreatedModel): ModelEntry => {
    const id = model.runId;
    const entry: ModelEntry = {
      id,
      sessionId,
      model,
      turns: createTurns(limits, 1, id),
      issued: Promise.resolve(),
      saved: Promise.resolve(),
      closed: false,
    };
    entries.set(id, entry);
    gone.delete(id);
    remember(aliases, aliasOf(sessionId, seq), id);
    return entry;
  };

  const runOf = (id: string): string => aliases.get(id) ?? id;

  const unload = async (entry: ModelEntry): Promise<void> => {
    if (entry.closed) return;
    entry.closed = true;
    entries.delete(entry.id);
    gone.add(entry.id);
    for (const old of gone) {
      if (gone.size <= REMEMBERED) break;
      gone.delete(old);
    }
    entry.turns.close(new ClientClosedError({ message: `The model ${entry.id} was unloaded.` }));
    await entry.model.unload();
    log(`model ${entry.id} unloaded`);
  };

  /** Waits a while for a slot: programs that end say nothing, but are not heard of any more. */
  const makeRoom = async (): Promise<void> => {
    for (let waited = 0; entries.size + making > limits.maxModels; waited += ROOM_STEP_SECONDS) {
      if (await sessions().endSilent(limits.evictSeconds)) continue;
      if (waited >= limits.roomSeconds) {
        throw new HttpFailure(
          400,
          `${String(limits.maxModels)} models are in training, which is the most. Unload one, or end its program.`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, ROOM_STEP_SECONDS * 1000));
    }
  };

  return {
    runOf,
    unload,
    end: async (id) => {
      const entry = entries.get(id);
      if (entry !== undefined) await unload(entry);
    },
    create: ({ sessionId, seq, print }, make, answer) => {
      const session = sessions().find(sessionId);
      const key = aliasOf(sessionId, seq);
      const before = made.get(key);
      if (before !== undefined) {
        if (before.print !== print)
          throw new HttpFailure(409, `Model ${String(seq)} of this session was made with other settings.`);
        if (futures.has(before.requestId)) return futures.find(before.requestId);
        throw new HttpFailure(410, `Model ${String(seq)} of this session was made before.`);
      }
      futures.admit();
      return futures.open(async (requestId) => {
        remember(made, key, { print, requestId });
        making += 1;
        try {
          await sessions().during(sessionId, makeRoom());
          const created = await sessions().during(
            sessionId,
            queue.run(() => make(backend)),
          );
          const entry = enter(sessionId, seq, created);
          session.modelIds.add(entry.id);
          log(`model ${entry.id} of ${created.model.baseModel}, rank ${String(created.model.lora.rank)}`);
          // The session may have ended meanwhile: nobody would unload the model then.
          try {
            sessions().find(sessionId);
          } catch (error) {
            await unload(entry);
            throw error;
          }
          return { type: 'json', body: answer(entry, created) };
        } catch (error) {
          // The number may be tried again.
          made.delete(key);
          throw error;
        } finally {
          making -= 1;
        }
      });
    },
    find: (id) => {
      const runId = runOf(id);
      const entry = entries.get(runId);
      if (entry === undefined) {
        const shown = JSON.stringify(id.slice(0, 100));
        if (gone.has(runId)) throw new HttpFailure(410, `The model ${shown} was unloaded.`);
        throw new HttpFailure(404, `There is no model ${shown}.`);
      }
      sessions().find(entry.sessionId);
      return entry;
    },
    issue: (entry, seqId, work) => {
      const before = entry.issued;
      let taken: () => void = () => undefined;
      entry.issued = new Promise((resolve) => {
        taken = resolve;
      });
      return sessions().during(
        entry.sessionId,
        queue.run(async () => {
          try {
            await before;
            if (entry.closed) throw new ClientClosedError({ message: `The model ${entry.id} was unloaded.` });
            const turn: Turn = { seqId, onQueueState: () => undefined };
            const accepted = await work(entry.model, turn);
            taken();
            return await accepted.result;
          } finally {
            taken();
          }
        }),
      );
    },
  };
}
