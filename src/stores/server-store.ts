/** What lies on a training server, as its relay told it, and where the relay is. */
import { createStore } from 'zustand/vanilla';

/** A checkpoint of a server. */
export interface ServerRow {
  path: string;
  /** Of the path: the run and the checkpoint's name. */
  run: string;
  name: string;
  /** Whether its archive can be fetched: servers hand out sampler weights alone. */
  isSampler: boolean;
  size: number | null;
  createdAt: string;
}

export interface ServerState {
  /** As typed. */
  address: string;
  /** Null until a server was asked. */
  rows: readonly ServerRow[] | null;
}

/** Where `lorikeet relay` listens unless told otherwise. */
export const RELAY_ADDRESS = 'http://127.0.0.1:8788';

export const serverStore = createStore<ServerState>(() => ({ address: RELAY_ADDRESS, rows: null }));

/** The page's policy lets it reach programs on this machine alone, by these names. */
const HOSTS = new Set(['127.0.0.1', 'localhost']);

/** Whether the page may ask there: a relay on this machine, plain HTTP, no path. */
export function isRelayAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname, search, hash, username } = new URL(text);
  return (
    protocol === 'http:' && HOSTS.has(hostname) && pathname === '/' && `${search}${hash}${username}` === ''
  );
}
