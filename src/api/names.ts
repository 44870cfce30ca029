/** Which names a checkpoint may have on a backend, and a spelling close to a refused one. Nothing is renamed silently. */
import { InvalidCheckpointNameError } from './own-errors.ts';

export interface NameRule {
  /** What characters are legal; one at a time. */
  readonly character: RegExp;
  /** What the first character may be. */
  readonly first: RegExp;
  readonly maxLength: number;
  /** The rule in words. */
  readonly words: string;
}

/** Of the local store, and of servers that say nothing narrower. */
export const LOCAL_NAMES: NameRule = {
  character: /[A-Za-z0-9._-]/,
  first: /[A-Za-z0-9_]/,
  maxLength: 255,
  words: '1 to 255 of A-Z, a-z, 0-9, ".", "_" and "-", not starting with "." or "-"',
};

/** SkyRL's: no dots. */
export const SKYRL_NAMES: NameRule = {
  character: /[A-Za-z0-9_-]/,
  first: /[A-Za-z0-9_-]/,
  maxLength: 255,
  words: '1 to 255 of A-Z, a-z, 0-9, "_" and "-"',
};

/** A legal name that looks like the given one. */
export function suggestName(name: string, rule: NameRule): string {
  const marksGone = name.normalize('NFKD').replace(/\p{M}/gu, '');
  const characters = Array.from(marksGone, (c) => (rule.character.test(c) ? c : '-'));
  while (characters.length > 0 && !rule.first.test(characters[0] ?? '')) characters.shift();
  return characters.join('').slice(0, rule.maxLength) || 'checkpoint';
}

/** Throws InvalidCheckpointNameError, with a legal spelling, where the backend would not take the name. */
export function checkName(name: string, rule: NameRule, backend: string): void {
  const legal =
    name.length >= 1 &&
    name.length <= rule.maxLength &&
    rule.first.test(name[0] ?? '') &&
    Array.from(name).every((c) => rule.character.test(c));
  if (legal) return;
  const shown = name.length > 300 ? `${name.slice(0, 40)}… (${String(name.length)} characters)` : name;
  throw new InvalidCheckpointNameError({
    message: `${backend} does not take the checkpoint name ${JSON.stringify(shown)}: names are ${rule.words}.`,
    suggestion: suggestName(name, rule),
  });
}
