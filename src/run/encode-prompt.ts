/** A question as the tokens that the model is given. */
import type { ChatMessage } from '../data/types.ts';
import { StudioError } from '../errors.ts';
import type { OpenModel } from './open-model.ts';

/** Plain text, which becomes one user turn where the model has a chat template, or a whole conversation. */
export type Prompt = string | readonly ChatMessage[];

/** The ids of a prompt. `raw` takes a text as it is, also where there is a template. */
export function encodePrompt(model: OpenModel, prompt: Prompt, raw = false): number[] {
  const { tokenizer, template } = model;
  if (typeof prompt === 'string' && (raw || template === undefined)) return tokenizer.encode(prompt);
  if (template === undefined) {
    throw new StudioError({
      code: 'TEMPLATE_MISSING',
      message: 'The model has no chat template, so it cannot take a conversation.',
      fix: 'Choose a model with a chat template, or give the prompt as plain text.',
    });
  }
  const messages = typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt;
  return tokenizer.encode(template.render(messages, { addGenerationPrompt: true }), {
    addSpecialTokens: false,
  });
}
