/** The workload that all contenders share: weights, adapter, tokens and reference losses, written by PyTorch. */
import type { AdapterTensor } from '../src/formats/adapter.ts';
import type { TensorInfo, TensorSource } from '../src/formats/tensors.ts';
import { parseModelConfig, type ModelConfig } from '../src/engine/index.ts';
import { readBytes } from './host.ts';

/** What manifest.json holds (../shared/peers/torch_peer.py). */
interface Manifest {
  weights: Record<string, { offset: number; shape: number[] }>;
  tokens: number[];
  ref_losses: Record<string, number[]>;
  lr: number;
  wd: number;
  alpha: number;
  r: number;
  L: number;
  H: number;
  NH: number;
  NKV: number;
  I: number;
  V: number;
  theta: number;
  eps: number;
  flop_per_token: Record<string, number>;
}

export interface PeerWorkload {
  manifest: Manifest;
  config: ModelConfig;
  tensors: TensorSource;
  /** The adapter's start. */
  adapter: AdapterTensor[];
}

const LORA = /\.lora_[AB]\.weight$/;

/** Reads the exported folder. */
export async function readWorkload(folder: string): Promise<PeerWorkload> {
  const text = new TextDecoder().decode(await readBytes(`${folder}/manifest.json`));
  const manifest = JSON.parse(text) as Manifest;
  const bytes = await readBytes(`${folder}/weights.bin`);
  const infos = new Map<string, TensorInfo>();
  const at = new Map<string, number>();
  const adapter: AdapterTensor[] = [];
  for (const [short, { offset, shape }] of Object.entries(manifest.weights)) {
    const name = `model.${short}`;
    const byteLength = 4 * shape.reduce((product, size) => product * size, 1);
    if (LORA.test(name)) {
      const data = new Float32Array(bytes.slice(offset, offset + byteLength).buffer);
      adapter.push({ name, shape: [shape[0] ?? 0, shape[1] ?? 0], data });
      continue;
    }
    infos.set(name, { name, dtype: 'F32', shape, byteLength });
    at.set(name, offset);
  }
  const tensors: TensorSource = {
    list: () => [...infos.values()],
    get: (name) => infos.get(name),
    read: (name) => {
      const offset = at.get(name) ?? 0;
      return Promise.resolve(bytes.slice(offset, offset + (infos.get(name)?.byteLength ?? 0)));
    },
  };
  return { manifest, config: configOf(manifest), tensors, adapter };
}

function configOf(manifest: Manifest): ModelConfig {
  return parseModelConfig({
    architectures: ['LlamaForCausalLM'],
    hidden_size: manifest.H,
    intermediate_size: manifest.I,
    num_hidden_layers: manifest.L,
    num_attention_heads: manifest.NH,
    num_key_value_heads: manifest.NKV,
    vocab_size: manifest.V,
    max_position_embeddings: 2048,
    rms_norm_eps: manifest.eps,
    rope_theta: manifest.theta,
    tie_word_embeddings: true,
    hidden_act: 'silu',
  });
}
