/** What an answer is, before it becomes HTTP. */

export interface JsonReply {
  kind: 'json';
  status: number;
  body: unknown;
  headers: Readonly<Record<string, string>>;
}

export interface BytesReply {
  kind: 'bytes';
  status: number;
  type: string;
  body: Uint8Array;
  headers: Readonly<Record<string, string>>;
}

export interface StreamReply {
  kind: 'stream';
  status: number;
  type: string;
  body: ReadableStream<Uint8Array>;
  headers: Readonly<Record<string, string>>;
}

export type Reply = JsonReply | BytesReply | StreamReply;

export const json = (
  body: unknown,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): JsonReply => ({
  kind: 'json',
  status,
  body,
  headers,
});

export const bytes = (body: Uint8Array, type: string): BytesReply => ({
  kind: 'bytes',
  status: 200,
  type,
  body,
  headers: {},
});
