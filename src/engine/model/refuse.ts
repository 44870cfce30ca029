/** How a model that the engine does not cover is refused. */
import { StudioError } from '../../errors.ts';

const SUPPORTED = 'Supported are Llama (SmolLM2, TinyLlama), Mistral, Qwen2, Qwen3 and GPT-2.';

/** Throws MODEL_UNSUPPORTED: what was found, what is supported. */
export function refuseModel(found: string): never {
  throw new StudioError({
    code: 'MODEL_UNSUPPORTED',
    message: `This model has ${found}.`,
    fix: `${SUPPORTED} Choose one of them.`,
  });
}
