/** A session on the server, kept alive by a heartbeat for as long as the backend lives. */
import type { WarningSink } from '../warnings.ts';
import { invalidAnswer, recordOf, redact } from './answer.ts';
import type { Timing } from './timing.ts';
import type { Transport } from './transport.ts';

export interface Session {
  readonly id: string;
  /** Numbers of sampling sessions and models, from 0. */
  nextSamplingSeq(): number;
  nextModelSeq(): number;
  end(): void;
}

export interface SessionOptions {
  transport: Transport;
  timing: Timing;
  warnings: WarningSink;
  signal: AbortSignal;
  sdkVersion: string;
  userMetadata: Readonly<Record<string, string>> | null;
  projectId: string | null;
}

export async function startSession(o: SessionOptions): Promise<Session> {
  const { transport, timing, warnings } = o;
  const reply = await transport.request(
    {
      method: 'POST',
      path: 'create_session',
      json: {
        tags: [],
        user_metadata: o.userMetadata,
        sdk_version: o.sdkVersion,
        project_id: o.projectId,
        type: 'create_session',
      },
      signal: o.signal,
    },
    { mode: 'safe' },
  );
  const body = recordOf('create_session', reply);
  const id = body['session_id'];
  if (typeof id !== 'string' || id === '') throw invalidAnswer('create_session', 'has no session_id');
  for (const kind of ['info_message', 'warning_message', 'error_message']) {
    const message = body[kind];
    if (typeof message === 'string' && message !== '') {
      warnings.warn({
        code: 'SESSION_MESSAGE',
        message: `The server says: ${redact(message).slice(0, 2000)}`,
      });
    }
  }
  let lastSuccess = Date.now();
  let warned = false;
  const beat = async (): Promise<void> => {
    try {
      const answer = await transport.send({
        method: 'POST',
        path: 'session_heartbeat',
        json: { session_id: id, type: 'session_heartbeat' },
        timeoutSeconds: Math.max(1, timing.heartbeatSeconds),
        signal: o.signal,
      });
      if (answer.status < 400) {
        lastSuccess = Date.now();
        warned = false;
      }
    } catch {
      // Counted by its absence, below.
    }
    const silent = (Date.now() - lastSuccess) / 1000;
    if (warned || o.signal.aborted || silent < timing.heartbeatWarnSeconds) return;
    warned = true;
    warnings.warn({
      code: 'HEARTBEAT_LATE',
      message: `The server has taken no heartbeat for ${String(Math.round(silent))} s; it may clear this session and its models away.`,
    });
  };
  const timer = setInterval(() => void beat(), timing.heartbeatSeconds * 1000);
  // In Node a program ends when its work does, heartbeat or not.
  (timer as { unref?: () => void }).unref?.();
  let sampling = 0;
  let models = 0;
  return {
    id,
    nextSamplingSeq: () => sampling++,
    nextModelSeq: () => models++,
    end: () => {
      clearInterval(timer);
    },
  };
}
