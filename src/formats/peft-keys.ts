/** The names of tensors in adapter_model.safetensors: the one form that is read, and the others by their name. */
import type { StudioError } from '../errors.ts';
import { invalidAdapter, unsupportedAdapter } from './peft-config.ts';

export const KEY_PREFIX = 'base_model.model.';
/** Far above every model; a larger number in a file is a mistake or an attack. */
const MAX_LAYER = 9999;
/** Parts of a module's path; real ones have six. */
const MAX_PARTS = 64;

export interface AdapterKey {
  /** Path of the adapted module in the model, such as `model.layers.0.self_attn.q_proj`. */
  path: string;
  factor: 'A' | 'B';
}

const KEY = /^base_model\.model\.([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.lora_([AB])\.weight$/;

/** What is wrong with a key that is not of PEFT's form. */
function explain(key: string): StudioError {
  const shown = JSON.stringify(key.slice(0, 120));
  if (key.includes('lora_magnitude_vector')) return unsupportedAdapter(`DoRA (tensor ${shown})`);
  if (key.endsWith('.lora_B.bias')) return unsupportedAdapter(`a bias in its factors (tensor ${shown})`);
  if (key.includes('lora_embedding_')) return unsupportedAdapter(`LoRA on an embedding (tensor ${shown})`);
  if (/\.lora_[ab]$/.test(key)) return unsupportedAdapter(`the format of MLX, not of PEFT (tensor ${shown})`);
  if (/\.lora_(down|up)\.weight$/.test(key) || /^lora_(unet|te)/.test(key)) {
    return unsupportedAdapter(`the format of image models (Kohya, tensor ${shown})`);
  }
  if (/^(unet|transformer|text_encoder|diffusion_model)\.(?!h\.)/.test(key)) {
    return unsupportedAdapter(`the format of image models (diffusers, tensor ${shown})`);
  }
  if (/\.lora_[AB]\.[^.]+\.weight$/.test(key)) {
    return invalidAdapter(
      `The tensor name ${shown} still holds the name of the adapter, so PEFT would not find it.`,
    );
  }
  if (/\.lora_[AB]\.weight$/.test(key) && !key.startsWith(KEY_PREFIX)) {
    return invalidAdapter(
      `The tensor name ${shown} lacks the prefix "${KEY_PREFIX}", so PEFT would not find it.`,
    );
  }
  if (key.startsWith(KEY_PREFIX) && /\.(weight|bias)$/.test(key) && !key.includes('.lora_')) {
    return unsupportedAdapter(`fully trained modules (tensor ${shown})`);
  }
  return unsupportedAdapter(`a tensor that is no LoRA factor (${shown})`);
}

function checkLayerNumbers(path: string, key: string): void {
  for (const part of path.split('.')) {
    if (!/^\d+$/.test(part)) continue;
    if (part !== String(Number(part)) || Number(part) > MAX_LAYER) {
      throw invalidAdapter(
        `The tensor name ${JSON.stringify(key.slice(0, 120))} has the layer number ${part.slice(0, 20)}.`,
      );
    }
  }
}

/**
 * Whether a tensor is PEFT's copy of a frozen weight: it saves one beside an adapted output head. The base model has the
 * same values, so readers leave it out.
 */
export function isFrozenCopy(key: string): boolean {
  return key.startsWith(KEY_PREFIX) && key.endsWith('.base_layer.weight');
}

/** Reads a tensor name, or throws with the reason why it is not a LoRA factor of PEFT. */
export function parseAdapterKey(key: string): AdapterKey {
  const [, path, factor] = KEY.exec(key) ?? [];
  if (path === undefined || (factor !== 'A' && factor !== 'B')) throw explain(key);
  if (path.startsWith(KEY_PREFIX)) {
    throw invalidAdapter(
      `The tensor name ${JSON.stringify(key.slice(0, 120))} has the prefix "${KEY_PREFIX}" twice.`,
    );
  }
  if (path.split('.').length > MAX_PARTS) {
    throw invalidAdapter(`The tensor name ${JSON.stringify(key.slice(0, 120))} is nested too deep.`);
  }
  checkLayerNumbers(path, key);
  return { path, factor };
}
