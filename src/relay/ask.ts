/** One request to the server behind the relay, over a connection of its own, with limits on connecting and on silence. */
import { lookup as lookUp } from 'node:dns';
import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { RelayError } from './answers.ts';
import type { Headers } from './headers.ts';
import { bareHost, isNearAddress } from './target.ts';

export interface AskOptions {
  method: string;
  headers: Headers;
  connectSeconds: number;
  /** How long a connection may be silent; long polls are. */
  silentSeconds: number;
  signal: AbortSignal;
  /** Refuses addresses on this machine: for hosts that the target has named. */
  farOnly: boolean;
}

export interface Asked {
  /** Takes the body. */
  request: ClientRequest;
  /** Rejects with RelayError, or with the signal's reason. */
  answer: Promise<IncomingMessage>;
}

const near = (): RelayError =>
  new RelayError(502, 'RELAY_REDIRECT_REFUSED', 'The server redirects to an address on this machine.');

/** Looks a name up and refuses what lies on this machine, so that a name cannot stand for it. */
const farLookup: LookupFunction = (hostname, options, done) => {
  lookUp(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return done(error, '');
    if (addresses.some(({ address }) => isNearAddress(address))) return done(near(), '');
    const [first] = addresses;
    if (options.all === true || first === undefined) return done(null, addresses);
    return done(null, first.address, first.family);
  });
};

const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'no code';
};

/** Starts the request. The caller writes the body and ends it. */
export function ask(url: URL, o: AskOptions): Asked {
  const host = bareHost(url.hostname);
  if (o.farOnly && isNearAddress(host)) throw near();
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const request = send({
    protocol: url.protocol,
    host,
    port: url.port,
    path: `${url.pathname}${url.search}`,
    method: o.method,
    headers: { host: url.host, ...o.headers },
    // Servers of this family drop kept connections after a fault, and a request that was lost there cannot be sent again.
    agent: false,
    signal: o.signal,
    ...(o.farOnly && isIP(host) === 0 ? { lookup: farLookup } : {}),
  });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    let connected = false;
    const refuse = (
      status: number,
      code: 'RELAY_TARGET_UNREACHABLE' | 'RELAY_TARGET_SILENT',
      text: string,
    ): void => {
      request.destroy(new RelayError(status, code, text));
    };
    const connecting = setTimeout(() => {
      refuse(
        504,
        'RELAY_TARGET_UNREACHABLE',
        `No connection to the server within ${String(o.connectSeconds)} s.`,
      );
    }, o.connectSeconds * 1000);
    request.on('socket', (socket) => {
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true;
        clearTimeout(connecting);
      });
    });
    request.setTimeout(o.silentSeconds * 1000, () => {
      refuse(504, 'RELAY_TARGET_SILENT', `The server said nothing for ${String(o.silentSeconds)} s.`);
    });
    request.on('close', () => {
      clearTimeout(connecting);
      // Without an error where the server wants another protocol; after an answer this says nothing.
      reject(
        new RelayError(502, 'RELAY_TARGET_FAILED', 'The server closed the connection without an answer.'),
      );
    });
    request.on('response', (response) => {
      // One that is thrown away may break as it likes; its readers see it all the same.
      response.on('error', () => undefined);
      resolve(response);
    });
    // Kept after the answer: a connection that breaks later is told by the answer's stream.
    request.on('error', (error) => {
      if (o.signal.aborted) return reject(o.signal.reason as Error);
      if (error instanceof RelayError) return reject(error);
      const code = connected ? 'RELAY_TARGET_FAILED' : 'RELAY_TARGET_UNREACHABLE';
      const words = connected ? 'The connection to the server broke' : 'The server cannot be reached';
      return reject(new RelayError(502, code, `${words} (${codeOf(error)}).`));
    });
  });
  answer.catch(() => undefined);
  return { request, answer };
}
