/** What a server may be told, and its limits. */
import { StudioError } from '../errors.ts';

export interface ServeOptions {
  /** Where it listens; loopback unless said otherwise. */
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** What callers must send as `X-API-Key` or `Authorization: Bearer`; null asks for none. */
  apiKey: string | null;
  /** Names besides its own under which it may be addressed: `Host` headers with others are refused. */
  allowedHosts: readonly string[];
  /** Pages that may call it, as origins (`http://localhost:5173`); none unless named. */
  allowedOrigins: readonly string[];
  limits: ServeLimits;
  /** Folder with the tokenizer of a base model, for clients that load it from a path; null where there is none. */
  tokenizerFolder: (baseModel: string) => string | null;
  /** One line for the person at the terminal. */
  log: (line: string) => void;
}

export interface ServeLimits {
  /** Bytes of a request body, before and after decompression. */
  maxBody: number;
  /** Requests whose results are still to come. */
  maxPending: number;
  /** Bytes of results that are kept for those who asked for them. */
  maxResultBytes: number;
  /** Seconds that a result is kept. */
  resultSeconds: number;
  /** Seconds that a question for a result is held open. */
  pollSeconds: number;
  /** Results larger than this are announced first, where the caller can take that. */
  inlineBytes: number;
  /** Seconds that a request waits for those with lower numbers. */
  gapSeconds: number;
  /** Requests of one model that wait so. */
  maxHeld: number;
  /** Pieces of work at the GPU at once: one computes, the other is being prepared. */
  running: number;
  /** Models in training at once. */
  maxModels: number;
  /** Samplers with weights in memory at once. */
  maxSamplers: number;
  maxSessions: number;
  /** Seconds without a sign of life after which a session's models are unloaded. */
  sessionSeconds: number;
  /** Seconds of silence after which a session's models make room where another program needs it. */
  evictSeconds: number;
  /** Seconds that a new model waits for room. */
  roomSeconds: number;
  /** Seconds that the address of an archive is good for. */
  archiveSeconds: number;
}

const MIB = 2 ** 20;

export const DEFAULT_LIMITS: Readonly<ServeLimits> = {
  maxBody: 64 * MIB,
  maxPending: 8192,
  maxResultBytes: 256 * MIB,
  resultSeconds: 900,
  pollSeconds: 30,
  inlineBytes: MIB,
  gapSeconds: 600,
  maxHeld: 1024,
  running: 2,
  maxModels: 8,
  maxSamplers: 16,
  maxSessions: 1024,
  sessionSeconds: 600,
  evictSeconds: 30,
  roomSeconds: 60,
  archiveSeconds: 7200,
};

export type GivenServeOptions = Partial<Omit<ServeOptions, 'limits'>> & { limits?: Partial<ServeLimits> };

const LOOPBACK = ['127.0.0.1', 'localhost', '::1'];

export const isLoopback = (host: string): boolean => LOOPBACK.includes(host);

/** Fills in the defaults. Throws OPTION_INVALID where others could reach it without a key, and for limits that are none. */
export function checkServeOptions(given: GivenServeOptions = {}): ServeOptions {
  const { host = '127.0.0.1', port = 0, apiKey = null } = given;
  const limits = { ...DEFAULT_LIMITS, ...given.limits };
  for (const [name, value] of Object.entries(limits)) {
    if (Number.isFinite(value) && value > 0) continue;
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `${name} is ${String(value)}.`,
      fix: 'Give a number above 0.',
    });
  }
  if (apiKey !== null && apiKey.length < 8) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The API key has ${String(apiKey.length)} characters.`,
      fix: 'Use one of at least 8; the official Python client wants it to begin with "tml-".',
    });
  }
  if (!isLoopback(host) && apiKey === null) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `${host} can be reached from other machines, and there is no API key.`,
      fix: 'Give a key, or listen on 127.0.0.1.',
    });
  }
  return {
    host,
    port,
    apiKey,
    allowedHosts: given.allowedHosts ?? [],
    allowedOrigins: given.allowedOrigins ?? [],
    limits,
    tokenizerFolder: given.tokenizerFolder ?? (() => null),
    log: given.log ?? (() => undefined),
  };
}
