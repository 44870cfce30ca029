/** Which request targets are handed on: two prefixes, and no spelling that a server could read as another path. */
import { refusal, type Refusal } from './answers.ts';

export interface RelayPath {
  /** Which of the two services is asked. */
  kind: 'tinker' | 'mlflow';
  /** As it came, without the query. */
  pathname: string;
  /** With the question mark; empty where there is none. */
  query: string;
}

const PREFIXES = [
  ['/api/v1/', 'tinker'],
  ['/api/2.0/mlflow/', 'mlflow'],
] as const;
const MAX_LENGTH = 8192;

const no = (detail: string): Refusal => refusal(400, 'RELAY_PATH_REFUSED', detail);

/**
 * Reads the target of a request line. Refused: absolute addresses, `..` and `.` in any spelling, empty parts, encoded
 * slashes, backslashes, percent signs and control characters, and what lies outside of the two prefixes.
 */
export function readPath(target: string): RelayPath | Refusal {
  if (target.length > MAX_LENGTH) return refusal(414, 'RELAY_PATH_REFUSED', 'The address is too long.');
  if (!target.startsWith('/')) return no('The address must be a path on this relay.');
  if (!/^[\x21-\x7e]*$/.test(target) || /[\\#]/.test(target)) {
    return no('The address holds characters that no address holds.');
  }
  const at = target.indexOf('?');
  const pathname = at < 0 ? target : target.slice(0, at);
  const query = at < 0 ? '' : target.slice(at);
  for (const part of pathname.slice(1).split('/')) {
    let plain: string;
    try {
      plain = decodeURIComponent(part);
    } catch {
      return no('The path has a percent sign that encodes nothing.');
    }
    if (plain === '' || plain === '.' || plain === '..')
      return no('The path has an empty part, `.` or `..`.');
    // A percent sign that is left would be read once more by servers that decode twice.
    // eslint-disable-next-line no-control-regex
    if (/[/\\%\x00-\x1f\x7f]/.test(plain))
      return no('The path hides a slash, a percent sign or a control character.');
  }
  const found = PREFIXES.find(([prefix]) => pathname.startsWith(prefix));
  if (found === undefined) {
    return refusal(404, 'RELAY_PATH_REFUSED', 'The relay hands on /api/v1/ and /api/2.0/mlflow/ only.');
  }
  return { kind: found[1], pathname, query };
}

/** Paths whose answer is a file that lies elsewhere: the relay fetches it, as the page could not. */
export const isArchivePath = ({ kind, pathname }: RelayPath): boolean =>
  kind === 'tinker' && /\/(archive|download)$/.test(pathname);
