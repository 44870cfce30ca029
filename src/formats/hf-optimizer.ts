/**
 * optimizer.pt of a HuggingFace Trainer: the state dict of `torch.optim.AdamW`. Parameters are numbers there, given out
 * in the order of `named_parameters()`; a permutation of tensors of one shape would load without a word.
 */
import type { Adapter, AdapterTensor } from './adapter.ts';
import { decodeFloats, isFloatDtype } from './float-codec.ts';
import {
  checkNotNegative,
  checkTensor,
  incompleteState,
  invalidState,
  unsupportedState,
  type Moments,
} from './moments.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import { dict, floatTensor, isTensor, isTuple, tuple, typeName } from './torch-values.ts';
import type { TorchDict, TorchTensor, TorchValue } from './torch-values.ts';

export const OPTIMIZER_PT = 'optimizer.pt';

export interface HfAdamW {
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

export interface HfOptimizerState {
  /** Steps that the optimizer did. */
  step: number;
  adamw: HfAdamW;
  /** The rate of the schedule's next step, and its peak. */
  learningRate: number;
  peakLearningRate: number;
  moments: Moments;
}

export interface HfOptimizerRead extends HfOptimizerState {
  /** Whether names said which parameter is which; if not, the order of the model did. */
  byName: boolean;
}

function group(state: HfOptimizerState, weightDecay: number, params: number): TorchDict {
  return dict([
    ['weight_decay', weightDecay],
    ['lr', state.learningRate],
    ['betas', tuple(...state.adamw.betas)],
    ['eps', state.adamw.eps],
    ['amsgrad', false],
    ['maximize', false],
    ['foreach', null],
    ['capturable', false],
    ['differentiable', false],
    ['fused', null],
    ['decoupled_weight_decay', true],
    ['initial_lr', state.peakLearningRate],
    ['params', Array.from({ length: params }, (_, i) => BigInt(i))],
  ]);
}

/** The state dict: one entry per parameter, a group with weight decay, and the empty one without that Trainer makes. */
export function optimizerDict(state: HfOptimizerState): TorchDict {
  const { expAvg, expAvgSq } = state.moments;
  const entries = expAvg.map((tensor, i) => {
    const second = expAvgSq[i];
    if (second?.name !== tensor.name) throw invalidState(`exp_avg_sq lacks ${tensor.name}`);
    const members = dict([
      ['step', floatTensor([], Float32Array.of(state.step))],
      ['exp_avg', floatTensor(tensor.shape, tensor.data)],
      ['exp_avg_sq', floatTensor(second.shape, second.data)],
    ]);
    return [BigInt(i), members] as const;
  });
  const groups = [group(state, state.adamw.weightDecay, expAvg.length), group(state, 0, 0)];
  return dict([
    ['state', dict(entries)],
    ['param_groups', groups],
  ]);
}

const asDict = (value: TorchValue | undefined, what: string): TorchDict => {
  if (value instanceof Map) return value;
  throw invalidState(`${OPTIMIZER_PT}: ${what} is ${typeName(value)}, not a dict`);
};

/** What a state's members say that the optimizer was. */
const OPTIMIZERS: readonly (readonly [string, string])[] = [
  ['state1', '8-bit Adam (bitsandbytes)'],
  ['absmax1', '8-bit Adam (bitsandbytes)'],
  ['qmap1', '8-bit Adam (bitsandbytes)'],
  ['max_exp_avg_sq', 'AMSGrad'],
  ['momentum_buffer', 'SGD with momentum'],
  ['exp_avg_sq_row', 'Adafactor'],
  ['exp_avg_sq_col', 'Adafactor'],
  ['exp_inf', 'Adamax'],
  ['mu_product', 'NAdam'],
  ['square_avg', 'RMSprop'],
  ['sum', 'Adagrad'],
  ['projector', 'GaLore'],
  ['shift', 'AdamW with Kahan summation'],
];

/** Settings that would change what a step does, and the value that does not. */
const FLAGS: readonly (readonly [string, TorchValue, string])[] = [
  ['amsgrad', false, 'AMSGrad'],
  ['maximize', false, 'an optimizer that maximises'],
];

function numberOf(members: TorchDict, key: string): number {
  const value = members.get(key);
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  if (typeof value === 'bigint' && value >= 0n) return Number(value);
  throw invalidState(
    `${OPTIMIZER_PT}: ${key} of a group is ${typeof value === 'number' ? String(value) : typeName(value)}`,
  );
}

function betasOf(members: TorchDict): [number, number] {
  const betas = members.get('betas');
  const [first, second] = isTuple(betas) ? betas.items : Array.isArray(betas) ? betas : [];
  const isBeta = (value: TorchValue | undefined): value is number =>
    typeof value === 'number' && value >= 0 && value < 1;
  if (isBeta(first) && isBeta(second)) return [first, second];
  throw unsupportedState('an optimizer without the two betas of AdamW');
}

interface Group {
  ids: readonly bigint[];
  names: readonly string[] | null;
  members: TorchDict;
}

function readGroup(value: TorchValue, index: number): Group {
  const members = asDict(value, `group ${String(index)}`);
  const ids = members.get('params');
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'bigint')) {
    throw invalidState(
      `${OPTIMIZER_PT}: the parameters of group ${String(index)} are not a list of whole numbers`,
    );
  }
  const names = members.get('param_names') ?? null;
  const named = Array.isArray(names) && names.every((name) => typeof name === 'string');
  if (names !== null && (!named || names.length !== ids.length)) {
    throw invalidState(`${OPTIMIZER_PT}: group ${String(index)} does not have one name for each parameter`);
  }
  return { ids, names: named ? names : null, members };
}

function readGroups(value: TorchValue | undefined): Group[] {
  if (!Array.isArray(value)) throw invalidState(`${OPTIMIZER_PT} has no list of groups`);
  if (value.length !== 2) {
    throw unsupportedState(`${String(value.length)} groups of parameters, where Trainer makes two`);
  }
  const groups = value.map(readGroup);
  const ids = groups.flatMap((one) => one.ids);
  if (ids.some((id, i) => id !== BigInt(i))) {
    throw invalidState(`${OPTIMIZER_PT} does not number its parameters one after another`);
  }
  return groups;
}

/** The settings of all groups that hold parameters: they must agree, since all parameters are trained alike here. */
function readSettings(
  groups: readonly Group[],
): Pick<HfOptimizerState, 'adamw' | 'learningRate' | 'peakLearningRate'> {
  const used = groups.filter(({ ids }) => ids.length > 0);
  const all = used.map(({ members }) => {
    const betas = betasOf(members);
    for (const [key, off, name] of FLAGS) {
      if ((members.get(key) ?? off) !== off) throw unsupportedState(name);
    }
    const weightDecay = numberOf(members, 'weight_decay');
    if (members.get('decoupled_weight_decay') === false && weightDecay > 0) {
      throw unsupportedState('Adam, whose weight decay works through the moments');
    }
    const learningRate = numberOf(members, 'lr');
    const peakLearningRate = members.has('initial_lr') ? numberOf(members, 'initial_lr') : learningRate;
    return { adamw: { betas, eps: numberOf(members, 'eps'), weightDecay }, learningRate, peakLearningRate };
  });
  const [first] = all;
  if (first === undefined) throw invalidState(`${OPTIMIZER_PT} has no parameters`);
  if (all.some((other) => JSON.stringify(other) !== JSON.stringify(first))) {
    throw unsupportedState('groups of parameters that are trained differently (such as LoRA+)');
  }
  return first;
}

/** A name of `named_parameters()` as the adapter has it: without PEFT's prefix and the name of the adapter. */
const plainName = (name: string): string =>
  name.replace(KEY_PREFIX, '').replace(/\.lora_([AB])\.[^.]+\.weight$/, '.lora_$1.weight');

/** The number of each adapter tensor in the optimizer, by name where names are there. */
function numbers(
  groups: readonly Group[],
  adapter: Pick<Adapter, 'tensors'>,
): { at: Map<string, bigint>; byName: boolean } {
  const count = groups.reduce((sum, { ids }) => sum + ids.length, 0);
  if (count !== adapter.tensors.length) {
    throw invalidState(
      `${OPTIMIZER_PT} has ${String(count)} parameters, the adapter ${String(adapter.tensors.length)}`,
    );
  }
  const names = groups.flatMap((one) => (one.ids.length === 0 ? [] : [one.names]));
  if (names.every((list) => list !== null)) {
    const at = new Map(names.flat().map((name, i) => [plainName(name), BigInt(i)]));
    const lost = adapter.tensors.find((tensor) => !at.has(tensor.name));
    if (lost !== undefined || at.size !== count) {
      throw invalidState(
        `${OPTIMIZER_PT} names other parameters than the adapter has${lost === undefined ? '' : ` (it lacks ${lost.name})`}`,
      );
    }
    return { at, byName: true };
  }
  if (groups.some(({ names: list }) => list !== null)) {
    throw invalidState(`${OPTIMIZER_PT} names the parameters of some groups and not of others`);
  }
  // Without names the first group must hold them all: which of the two a parameter is in is not known otherwise.
  if (groups[1]?.ids.length !== 0) {
    throw unsupportedState('parameters in the group without weight decay, which have no names');
  }
  return { at: new Map(adapter.tensors.map((tensor, i) => [tensor.name, BigInt(i)])), byName: false };
}

function checkMembers(entry: TorchDict): void {
  const keys = [...entry.keys()];
  const other = OPTIMIZERS.find(([key]) => entry.has(key));
  if (other !== undefined) throw unsupportedState(other[1]);
  const unknown = keys.find((key) => key !== 'step' && key !== 'exp_avg' && key !== 'exp_avg_sq');
  if (unknown !== undefined)
    throw unsupportedState(`an optimizer that keeps ${String(unknown).slice(0, 40)}`);
  if (!entry.has('exp_avg_sq') && entry.has('exp_avg'))
    throw unsupportedState('Lion, or moments without exp_avg_sq');
}

async function readStep(name: string, value: TorchValue | undefined): Promise<number> {
  if (!isTensor(value) || value.dtype !== 'F32' || value.shape.length !== 0) {
    throw invalidState(
      `${OPTIMIZER_PT}: the step of ${name} is ${typeName(value)}, not a float32 tensor without dimensions`,
    );
  }
  const [step = NaN] = decodeFloats('F32', await value.bytes());
  if (!Number.isInteger(step) || step < 0 || step > 2 ** 24) {
    throw invalidState(`${OPTIMIZER_PT}: the step of ${name} is ${String(step)}`);
  }
  return step;
}

async function readMoment(
  what: string,
  parameter: AdapterTensor,
  value: TorchValue | undefined,
): Promise<AdapterTensor> {
  if (!isTensor(value)) throw incompleteState(`${OPTIMIZER_PT}: ${what} is ${typeName(value)}, not a tensor`);
  const { name, shape } = parameter;
  const data = decodeFloats(floatDtype(what, value), await checkedBytes(what, parameter, value));
  checkTensor(what, parameter, { shape: value.shape, data });
  return { name, shape, data };
}

function floatDtype(what: string, { dtype }: TorchTensor): 'F32' | 'F16' | 'BF16' {
  if (isFloatDtype(dtype)) return dtype;
  throw unsupportedState(`moments of the dtype ${dtype} (${what})`);
}

/** The bytes, once the shape fits: nothing is taken into memory for a tensor that does not. */
async function checkedBytes(
  what: string,
  { shape }: AdapterTensor,
  tensor: TorchTensor,
): Promise<Uint8Array<ArrayBuffer>> {
  if (tensor.shape.length === 2 && tensor.shape.every((size, i) => size === shape[i])) return tensor.bytes();
  throw invalidState(`${what} has the shape [${tensor.shape.join(', ')}], not [${shape.join(', ')}]`);
}

/** Reads a state dict against the adapter that it belongs to. Throws STATE_INVALID, STATE_INCOMPLETE or STATE_UNSUPPORTED. */
export async function readOptimizerDict(
  value: TorchValue,
  adapter: Pick<Adapter, 'tensors'>,
): Promise<HfOptimizerRead> {
  const root = asDict(value, 'it');
  const state = asDict(root.get('state'), 'the state');
  const groups = readGroups(root.get('param_groups'));
  for (const entry of state.values()) checkMembers(asDict(entry, 'the state of a parameter'));
  const settings = readSettings(groups);
  const { at, byName } = numbers(groups, adapter);
  const expAvg: AdapterTensor[] = [];
  const expAvgSq: AdapterTensor[] = [];
  const steps = new Set<number>();
  for (const tensor of adapter.tensors) {
    const entry = state.get(at.get(tensor.name) ?? -1n);
    if (entry === undefined) throw incompleteState(`${OPTIMIZER_PT} has no state for ${tensor.name}`);
    const members = asDict(entry, 'the state of a parameter');
    steps.add(await readStep(tensor.name, members.get('step')));
    expAvg.push(await readMoment(`exp_avg of ${tensor.name}`, tensor, members.get('exp_avg')));
    const second = await readMoment(`exp_avg_sq of ${tensor.name}`, tensor, members.get('exp_avg_sq'));
    checkNotNegative(`exp_avg_sq of ${tensor.name}`, second.data);
    expAvgSq.push(second);
  }
  if (state.size !== adapter.tensors.length) {
    throw invalidState(`${OPTIMIZER_PT} holds the state of ${String(state.size)} parameters`);
  }
  const [step = 0] = steps;
  if (steps.size > 1) throw invalidState(`${OPTIMIZER_PT}: its parameters are at different steps`);
  return { step, ...settings, moments: { expAvg, expAvgSq }, byName };
}
