/**
 * Named warnings: what a program should know and need not stop for. They go to the caller's `onWarning`; without one, to
 * Node's warnings or the console. Each is given once, deprecations once for each place that calls.
 */

export const WARNING_CODES = [
  // deprecations
  'LKD001',
  'LKD002',
  'LKD003',
  'LKD004',
  // what a server does otherwise than the family's official service
  'LOSS_IS_A_MEAN',
  'METRICS_COMPUTED_HERE',
  'SEQ_ID_IGNORED',
  'OPTIMIZER_FLAG_IGNORED',
  'NO_DELETE',
  'OPTION_IGNORED',
  'TTL_NOT_KEPT',
  'USER_METADATA_KEPT_HERE',
  'WEIGHT_DECAY_LEAKS',
  'SAMPLING_LOADS_WEIGHTS',
  'RUN_REPLACED',
  'PROMPT_LOGPROBS_SHIFTED',
  'RESULT_NOT_FINITE',
  'STREAM_EMULATED',
  // connection
  'SESSION_MESSAGE',
  'HEARTBEAT_LATE',
  // own
  'CHECKPOINT_FILE_LINE',
  'TRACKER_FAILED',
  'RETENTION_FAILED',
  'NO_GRADIENT',
] as const;

export type WarningCode = (typeof WARNING_CODES)[number];

export interface LorikeetWarning {
  code: WarningCode;
  message: string;
  /** What to use instead, for deprecations. */
  replacement?: string;
}

export type LorikeetDeprecationWarning = LorikeetWarning & { replacement: string };

export interface WarningSink {
  /** Gives a warning each time. */
  warn(warning: LorikeetWarning): void;
  /** Gives a warning once for its code and `about`. */
  once(warning: LorikeetWarning, about?: string): void;
  /** Gives a deprecation once for the place in the caller's program; behind an await, that has to be kept from before. */
  deprecated(warning: LorikeetDeprecationWarning, site?: string): void;
}

interface Host {
  process?: { emitWarning?: (message: string, options: { type: string; code: string }) => void };
  console?: { warn?: (message: string) => void };
}

function emit(warning: LorikeetWarning): void {
  const host = globalThis as unknown as Host;
  const type = warning.code.startsWith('LKD') ? 'LorikeetDeprecationWarning' : 'LorikeetWarning';
  if (host.process?.emitWarning !== undefined) {
    host.process.emitWarning(warning.message, { type, code: warning.code });
  } else {
    host.console?.warn?.(`${type} ${warning.code}: ${warning.message}`);
  }
}

/** The line of the caller's program in a stack: the first that is not of this folder. */
export function callSite(): string {
  const lines = (new Error().stack ?? '').split('\n').slice(1);
  return lines.find((line) => !/[/\\]src[/\\]api[/\\](?!.*\.test\.)/.test(line)) ?? '';
}

const MAX_SEEN = 10_000;

/** Makes the sink that the clients of one service share. */
export function createWarningSink(onWarning: (warning: LorikeetWarning) => void = emit): WarningSink {
  const seen = new Set<string>();
  const first = (key: string): boolean => {
    if (seen.has(key) || seen.size >= MAX_SEEN) return false;
    seen.add(key);
    return true;
  };
  const warn = (warning: LorikeetWarning): void => {
    onWarning(warning);
  };
  return {
    warn,
    once: (warning, about = '') => {
      if (first(`${warning.code} ${about}`)) warn(warning);
    },
    deprecated: (warning, site = callSite()) => {
      if (first(`${warning.code} ${site}`)) warn(warning);
    },
  };
}
