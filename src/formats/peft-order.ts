/**
 * The order of `named_parameters()` in a PEFT model: layers by number, modules as the model registers them.
 * Files are sorted by name and do not keep it (`layers.10` before `layers.2`, `k_proj` before `q_proj`), but an
 * optimizer's state in PyTorch is paired with the parameters by this order alone.
 */
import { compareBytes } from './file-entry.ts';

const REGISTRATION = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
  'attn.c_attn',
  'attn.c_proj',
  'mlp.c_fc',
  'mlp.c_proj',
];

const LAYER = /^(?:[A-Za-z_][A-Za-z0-9_]*\.)+(\d+)\.(.+)$/;

/** The layer's number and the path within the layer; the head and other modules outside layers come last. */
export function splitLayer(path: string): { layer: number; inner: string } {
  const [, layer, inner] = LAYER.exec(path) ?? [];
  return layer === undefined || inner === undefined
    ? { layer: Infinity, inner: path }
    : { layer: Number(layer), inner };
}

/** Compares two module paths of one model, such as `model.layers.2.mlp.up_proj`. */
export function compareModulePaths(a: string, b: string): number {
  const left = splitLayer(a);
  const right = splitLayer(b);
  if (left.layer !== right.layer) return left.layer < right.layer ? -1 : 1;
  const rank = (inner: string): number => {
    const index = REGISTRATION.indexOf(inner);
    return index === -1 ? REGISTRATION.length : index;
  };
  return rank(left.inner) - rank(right.inner) || compareBytes(left.inner, right.inner);
}
