/**
 * Writes the two files that PEFT loads. The config holds only fields that old PEFT versions know as well: an unknown
 * field is a TypeError there. Everything of our own lives in checkpoint.json.
 */
import type { Adapter, LoraSettings } from './adapter.ts';
import { textEntry, type FileEntry } from './file-entry.ts';
import { encodeFloats } from './float-codec.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './peft-read.ts';
import { safetensorsEntry } from './safetensors-write.ts';

export type AdapterDtype = 'F32' | 'BF16';

export interface PeftWriteOptions {
  /** True for GPT-2, whose layers keep their weights as [in, out] (Conv1D). Changes nothing in the factors. */
  fanInFanOut: boolean;
  /** The base model's commit or branch on the Hub; null for a local model. */
  revision: string | null;
}

/** JSON with sorted keys at every level, as PEFT writes its config. */
export function sortedJson(value: unknown, indent?: number): string {
  const sort = (_key: string, inner: unknown): unknown =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner;
  return JSON.stringify(value, sort, indent);
}

/** The text of adapter_config.json. */
export function peftConfigText(adapter: Adapter, options: PeftWriteOptions): string {
  const { settings, baseModel } = adapter;
  const config = {
    alpha_pattern: settings.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: options.fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: settings.alpha,
    lora_dropout: settings.dropout,
    modules_to_save: null,
    peft_type: 'LORA',
    r: settings.rank,
    rank_pattern: settings.rankPattern,
    revision: options.revision,
    target_modules: settings.targetPaths ?? settings.targetModules,
    task_type: 'CAUSAL_LM',
    ...(settings.rslora ? { use_rslora: true } : {}),
  };
  return sortedJson(config, 2);
}

/** The adapter's tensors as adapter_model.safetensors; encoded while they are written, not before. */
export function adapterWeightsEntry(adapter: Adapter, dtype: AdapterDtype): FileEntry {
  return safetensorsEntry(
    ADAPTER_WEIGHTS,
    adapter.tensors.map(({ name, shape, data }) => ({
      name: KEY_PREFIX + name,
      dtype,
      shape,
      bytes: () => encodeFloats(dtype, data),
    })),
  );
}

/** The two files of a PEFT adapter. */
export function peftEntries(adapter: Adapter, dtype: AdapterDtype, options: PeftWriteOptions): FileEntry[] {
  return [textEntry(ADAPTER_CONFIG, peftConfigText(adapter, options)), adapterWeightsEntry(adapter, dtype)];
}

/** What other programs lose or need when they load this adapter; plain sentences for the person who exports it. */
export function consumerWarnings(settings: LoraSettings, fanInFanOut: boolean): string[] {
  const warnings: string[] = [];
  const ranks = Object.keys(settings.rankPattern).length > 0;
  const alphas = Object.keys(settings.alphaPattern).length > 0;
  if (ranks || alphas) {
    warnings.push('vLLM reads no rank or alpha per module: it would scale this adapter wrongly.');
  }
  const maxRank = Math.max(settings.rank, ...Object.values(settings.rankPattern));
  if (maxRank > 16)
    warnings.push(`vLLM serves ranks up to 16 unless started with --max-lora-rank ${String(maxRank)}.`);
  if (settings.rslora || alphas) {
    warnings.push(
      'llama.cpp scales by alpha / rank only: rsLoRA and alpha per module are lost when converted to GGUF.',
    );
  }
  if (fanInFanOut) warnings.push('llama.cpp: converting GPT-2 adapters to GGUF is not known to be correct.');
  return warnings;
}
