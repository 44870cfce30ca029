// Where things lie, for every script.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the project. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');

/** The folder for what the scripts make and can make again. */
export const CACHE = join(ROOT, '.cache');
