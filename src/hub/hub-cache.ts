/** Where downloads are kept, also half-finished ones; the browser and Node each bring their own. */
import type { ByteSource } from '../formats/bytes.ts';

export type Bytes = Uint8Array<ArrayBuffer>;

/** Keys are relative paths of plain characters (`A-Za-z0-9._-` and `/`). */
export interface HubCache {
  readText(key: string): Promise<string | null>;
  writeText(key: string, text: string): Promise<void>;
  /** How many bytes of this file are stored; 0 for an unknown one. */
  length(key: string): Promise<number>;
  /** Adds bytes at the end, which the caller believes to be at `offset`; rejects when it is not. */
  append(key: string, offset: number, bytes: Bytes): Promise<void>;
  /** The stored bytes; `name` is for messages. */
  source(key: string, name: string): Promise<ByteSource>;
  remove(key: string): Promise<void>;
}
