/** Reads one conversation, in the notation of OpenAI (role, content) or of ShareGPT (from, value). */
import type { JsonObject, JsonValue } from '../formats/strict-json.ts';
import { hasLoneSurrogate, isObject, shown } from './json.ts';
import type { ChatMessage } from './types.ts';

/** ShareGPT's names of the roles. */
const ROLES: Record<string, string> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  assistant: 'assistant',
  model: 'assistant',
  bot: 'assistant',
  bard: 'assistant',
  bing: 'assistant',
  system: 'system',
  tool: 'tool',
  function: 'tool',
  observation: 'tool',
};

/** The messages of a list, or why it is none. */
export function readMessages(value: JsonValue | undefined, column: string): ChatMessage[] | string {
  if (!Array.isArray(value)) return `"${column}" is no list of messages`;
  if (value.length === 0) return `"${column}" has no messages`;
  const messages: ChatMessage[] = [];
  for (const [i, item] of value.entries()) {
    const message = isObject(item) ? readMessage(item) : 'it is no object';
    if (typeof message === 'string')
      return `message ${String(i + 1)} of "${column}" cannot be used: ${message}`;
    messages.push(message);
  }
  return messages;
}

function readMessage(item: JsonObject): ChatMessage | string {
  const sharegpt = item['role'] === undefined && item['from'] !== undefined;
  const { role: _role, content: _content, from: _from, value: _value, ...rest } = item;
  const extra = sharegpt ? rest : { ...rest, ...pick(item, 'from', 'value') };
  const from = sharegpt ? item['from'] : item['role'];
  if (typeof from !== 'string' || from === '') return 'it has no role';
  const role = sharegpt ? ROLES[from.toLowerCase()] : from;
  if (role === undefined) return `the speaker "${from}" is not known`;
  const content = readContent(sharegpt ? item['value'] : item['content'], extra);
  if ('problem' in content) return content.problem;
  if (hasLoneSurrogate(`${role} ${content.text ?? ''}`)) {
    return 'it has half of a surrogate pair, which is no valid text';
  }
  const message: ChatMessage = { role, content: content.text };
  return Object.keys(extra).length > 0 ? { ...message, extra } : message;
}

function pick(item: JsonObject, ...keys: string[]): JsonObject {
  return Object.fromEntries(keys.flatMap((key) => (item[key] === undefined ? [] : [[key, item[key]]])));
}

/** A content is a text or a list of text parts, which are joined; only a turn that calls a tool may lack it. */
function readContent(
  value: JsonValue | undefined,
  extra: JsonObject,
): { text: string | null } | { problem: string } {
  if (typeof value === 'string') return { text: value };
  if (value === null || value === undefined) {
    return extra['tool_calls'] ? { text: null } : { problem: 'it has no content' };
  }
  if (!Array.isArray(value)) return { problem: `its content is no text (${shown(value)})` };
  const parts: string[] = [];
  for (const part of value) {
    const text = isObject(part) && part['type'] === 'text' ? part['text'] : undefined;
    if (typeof text !== 'string')
      return { problem: `its content has a part that is no text (${shown(part)})` };
    parts.push(text);
  }
  return { text: parts.join('') };
}
