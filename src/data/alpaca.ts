/** Alpaca rows as plain text and as a conversation. */

export interface AlpacaRow {
  instruction: string;
  input: string;
  output: string;
}

/** The prompt with which Alpaca models are trained; the output follows it directly. */
export function alpacaPrompt({ instruction, input }: AlpacaRow): string {
  const task = 'Below is an instruction that describes a task';
  const request = 'Write a response that appropriately completes the request.';
  return input.trim() === ''
    ? `${task}. ${request}\n\n### Instruction:\n${instruction}\n\n### Response:\n`
    : `${task}, paired with an input that provides further context. ${request}\n\n### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:\n`;
}

/** What the user says when an Alpaca row becomes a conversation: the instruction, then the input. */
export function alpacaQuestion({ instruction, input }: AlpacaRow): string {
  return input.trim() === '' ? instruction : `${instruction}\n\n${input}`;
}
