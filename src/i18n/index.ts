/** The one way to text: `t('key')`, with the names in braces of the English text as typed parameters. */
import { en } from './en.ts';

export type TextKey = keyof typeof en;

/** The names in braces of a text: `'{done} of {total}'` gives `'done' | 'total'`. */
type Names<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Names<Rest>
  : never;

type Parameters<Key extends TextKey> = [Names<(typeof en)[Key]>] extends [never]
  ? []
  : [values: Record<Names<(typeof en)[Key]>, string>];

/**
 * The text of a key with its parameters put in; numbers are formatted by the caller (format.ts).
 * @example t('run.stepOf', { step: '3', steps: '60' })
 */
export function t<Key extends TextKey>(key: Key, ...[values]: Parameters<Key>): string {
  const text: string = en[key];
  if (values === undefined) return text;
  const known: Record<string, string> = values;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => known[name] ?? whole);
}
