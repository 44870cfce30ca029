/** The server behind the relay, and which addresses lie on this machine. */
import { BlockList, isIP } from 'node:net';
import { StudioError } from '../errors.ts';

export interface Target {
  /** Scheme, host and port. */
  origin: string;
  /** What stands before `/api/v1`, without a slash at its end; mostly empty. */
  prefix: string;
  onThisMachine: boolean;
}

/** Addresses that mean this machine or its own link: nothing that another server should send us to. */
const NEAR = new BlockList();
NEAR.addSubnet('0.0.0.0', 8);
NEAR.addSubnet('127.0.0.0', 8);
NEAR.addSubnet('169.254.0.0', 16);
NEAR.addAddress('::', 'ipv6');
NEAR.addAddress('::1', 'ipv6');
NEAR.addSubnet('fe80::', 10, 'ipv6');

/** Without the brackets of IPv6. */
export const bareHost = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

/** Whether an IP address is this machine's loopback or link-local. */
export const isNearAddress = (address: string): boolean => {
  const version = isIP(address);
  return version !== 0 && NEAR.check(address, version === 6 ? 'ipv6' : 'ipv4');
};

/** Whether a host name or address means this machine without asking anyone. */
export const isLoopbackHost = (hostname: string): boolean => {
  const host = bareHost(hostname).toLowerCase();
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
};

/** Reads the address of a server. Throws OPTION_INVALID; a key in the address is never repeated. */
export function readTarget(text: string): Target {
  const wrong = (message: string): StudioError =>
    new StudioError({
      code: 'OPTION_INVALID',
      message,
      fix: 'Use an address such as http://gpu-box:8000, without user, query and fragment.',
    });
  if (!URL.canParse(text)) throw wrong('--target is no address.');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw wrong('--target is neither http nor https.');
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw wrong('--target has a user, a query or a fragment.');
  }
  const prefix = url.pathname.replace(/\/+$/, '').replace(/\/api\/v1$/, '');
  return { origin: url.origin, prefix, onThisMachine: isLoopbackHost(url.hostname) };
}
