// Sends raw bytes to a server, and judges what came of it.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** @typedef {import('./fuzz-requests.mjs').RawRequest} RawRequest */
/** @typedef {{ text: string, closed: boolean, ms: number }} Outcome what came back, and whether the other side ended it */

/** Requests that are not whole are given this long for an answer, then left. */
const PARTIAL_MS = 150;
const KEPT = 20_000;

/**
 * Writes a request and reads until the other side ends, or the time is over.
 * @param {number} port
 * @param {RawRequest} request
 * @param {number} limitMs
 * @returns {Promise<Outcome>}
 */
export async function sendRaw(port, { pieces, pauseMs, whole, leave }, limitMs) {
  const start = performance.now();
  let text = '';
  let size = 0;
  const socket = connect(port, '127.0.0.1');
  // One end is enough for those who wait; `close` comes after an error as well.
  const closed = new Promise((resolve) => socket.once('close', () => resolve(true)));
  socket.on('error', () => undefined);
  socket.on('data', (part) => {
    size += part.length;
    if (text.length < KEPT) text += part.toString('latin1');
  });
  for (const [i, piece] of pieces.entries()) {
    if (i > 0 && pauseMs > 0) await Promise.race([sleep(pauseMs), closed]);
    if (socket.destroyed) break;
    // Where the other side does not read on, what waits here is thrown away with the socket.
    socket.write(piece);
  }
  if (leave) {
    await Promise.race([sleep(5), closed]);
    socket.destroy();
    return { text, closed: true, ms: performance.now() - start };
  }
  const timer = new AbortController();
  const late = sleep(whole ? limitMs : PARTIAL_MS, false, { signal: timer.signal }).catch(() => false);
  const ended = await Promise.race([closed, late]);
  timer.abort();
  socket.destroy();
  return { text, closed: ended === true, ms: performance.now() - start };
}

/** Failures that a server may have, where it says which. */
const NAMED = [502, 503, 504];

/**
 * What is wrong with an outcome; null where nothing is.
 * @param {RawRequest} request
 * @param {Outcome} outcome
 */
export function judge(request, outcome) {
  for (const [head, digits] of outcome.text.matchAll(/^HTTP\/1\.1 (\d{3})[^]*?\r\n\r\n/gm)) {
    const status = Number(digits);
    if (status < 500) continue;
    if (!NAMED.includes(status)) return `status ${status}`;
    // Up to the next answer: one to HEAD has no body.
    const [body = ''] = outcome.text.slice(outcome.text.indexOf(head) + head.length).split('HTTP/1.1 ');
    if (!/^content-type: application\/json/im.test(head) || (body !== '' && !/"detail":"[^"]+"/.test(body))) {
      return `status ${status} without a name`;
    }
  }
  if (request.whole && !outcome.closed) return `no end after ${Math.round(outcome.ms)} ms`;
  return null;
}

/**
 * Sends requests, some at once, and gives what was found: how many of each kind and status, and the problems.
 * @param {number} port
 * @param {readonly RawRequest[]} requests
 * @param {{ limitMs: number, atOnce: number, until?: () => boolean }} o
 */
export async function sendAll(port, requests, { limitMs, atOnce, until = () => false }) {
  /** @type {Record<string, number>} */
  const statuses = {};
  /** @type {Record<string, number>} */
  const kinds = {};
  /** @type {{ why: string, request: RawRequest, text: string }[]} */
  const problems = [];
  let sent = 0;
  let at = 0;
  const lane = async () => {
    for (let request = requests[at++]; request !== undefined && !until(); request = requests[at++]) {
      const outcome = await sendRaw(port, request, limitMs);
      sent += 1;
      const status = /^HTTP\/1\.1 (\d{3})/.exec(outcome.text)?.[1] ?? 'none';
      statuses[status] = (statuses[status] ?? 0) + 1;
      kinds[request.kind] = (kinds[request.kind] ?? 0) + 1;
      const why = judge(request, outcome);
      if (why !== null) problems.push({ why, request, text: outcome.text.slice(0, 500) });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return { sent, statuses, kinds, problems };
}
