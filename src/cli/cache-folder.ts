/** Where the command line keeps what it can get again: downloads and choices of kernels. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A folder of the cache: below `LORIKEET_CACHE`, or in the user's own cache folder. */
export function cacheFolder(name: string): string {
  const { LORIKEET_CACHE, XDG_CACHE_HOME } = process.env;
  const root = LORIKEET_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'lorikeet');
  return join(root, name);
}
