/** The programs that use the server. One that gives no sign of life for a while is gone, and its models with it. */
import { randomBytes } from 'node:crypto';
import { HttpFailure } from './failure.ts';
import type { ServeLimits } from './options.ts';

export interface Session {
  readonly id: string;
  readonly displayName: string | null;
  readonly userMetadata: Record<string, string> | null;
  readonly modelIds: Set<string>;
  readonly samplerIds: Set<string>;
  /** Of those who wait: while there are any, the session lives. */
  pending: number;
  silentSeconds: number;
}

export interface Sessions {
  create(o: Pick<Session, 'displayName' | 'userMetadata'>): Session;
  /** A sign of life. Throws 404 for an unknown session, 410 for one that has ended. */
  find(id: string): Session;
  list(): readonly Session[];
  /** Ends a session; what it had is let go. */
  end(id: string): Promise<void>;
  /** Ends the session that has been silent longest, where that is for so long; false where there is none. */
  endSilent(seconds: number): Promise<boolean>;
  /** Keeps a session alive while the work lasts. */
  during<T>(id: string, work: Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Ended sessions that are remembered, so that their heartbeats are told so. */
const REMEMBERED = 1024;

export function createSessions(
  limits: Pick<ServeLimits, 'maxSessions' | 'sessionSeconds' | 'evictSeconds'>,
  letGo: (session: Session) => Promise<void>,
  log: (line: string) => void,
): Sessions {
  const sessions = new Map<string, Session>();
  const ended = new Set<string>();

  const end = async (id: string): Promise<void> => {
    const session = sessions.get(id);
    if (session === undefined) return;
    sessions.delete(id);
    ended.add(id);
    for (const old of ended) {
      if (ended.size <= REMEMBERED) break;
      ended.delete(old);
    }
    await letGo(session);
  };
  const tickSeconds = Math.max(0.05, Math.min(5, limits.sessionSeconds / 4, limits.evictSeconds / 4));
  // Ticks are counted and not the clock: a computer that slept has not been silent.
  const timer = setInterval(() => {
    for (const session of sessions.values()) {
      session.silentSeconds = session.pending > 0 ? 0 : session.silentSeconds + tickSeconds;
      if (session.silentSeconds <= limits.sessionSeconds) continue;
      log(
        `session ${session.id} gave no sign of life; its ${String(session.modelIds.size)} models are unloaded`,
      );
      end(session.id).catch((error: unknown) => {
        log(`error: ${String(error)}`);
      });
    }
  }, tickSeconds * 1000);
  timer.unref();

  return {
    create: ({ displayName, userMetadata }) => {
      if (sessions.size >= limits.maxSessions)
        throw new HttpFailure(429, `There are ${String(sessions.size)} sessions.`, { 'Retry-After': '10' });
      const session: Session = {
        id: `session-${randomBytes(8).toString('hex')}`,
        displayName,
        userMetadata,
        modelIds: new Set(),
        samplerIds: new Set(),
        pending: 0,
        silentSeconds: 0,
      };
      sessions.set(session.id, session);
      return session;
    },
    find: (id) => {
      const session = sessions.get(id);
      if (session === undefined) {
        const shown = JSON.stringify(id.slice(0, 100));
        if (ended.has(id)) throw new HttpFailure(410, `The session ${shown} has ended.`);
        throw new HttpFailure(404, `There is no session ${shown}.`);
      }
      session.silentSeconds = 0;
      return session;
    },
    list: () => [...sessions.values()],
    end,
    endSilent: async (seconds) => {
      const silent = [...sessions.values()]
        .filter(
          ({ modelIds, pending, silentSeconds }) =>
            modelIds.size > 0 && pending === 0 && silentSeconds >= seconds,
        )
        .toSorted((a, b) => b.silentSeconds - a.silentSeconds)[0];
      if (silent === undefined) return false;
      log(`session ${silent.id} gave no sign of life; its models make room for others`);
      await end(silent.id);
      return true;
    },
    during: async (id, work) => {
      const session = sessions.get(id);
      if (session !== undefined) session.pending += 1;
      try {
        return await work;
      } finally {
        if (session !== undefined) session.pending -= 1;
      }
    },
    close: async () => {
      clearInterval(timer);
      await Promise.allSettled([...sessions.keys()].map(end));
    },
  };
}
