/**
 * Reads the pickles inside PyTorch's files without running anything: a closed list of opcodes, and a closed list of
 * names that are compared and never looked up. Stricter than `torch.load(weights_only=True)`, whose list let code
 * through twice (CVE-2025-32434, CVE-2026-24747).
 */
import {
  COST,
  isItemTuple,
  isPlainValue,
  PICKLE_LIMITS,
  Tag,
  torchError,
  type Item,
  type ItemDict,
  type ItemTuple,
} from './pickle-stack.ts';
import {
  isEmptyDict,
  ORDERED_DICT,
  parameterTensor,
  REBUILD_PARAMETER,
  REBUILD_TENSOR,
  SIZE,
  storageOf,
  TAGS,
  tensorView,
  type Fail,
  type TensorView,
} from './pickle-tensors.ts';
import type { TorchKey, TorchTensor, TorchValue } from './torch-values.ts';

export interface PickleOptions {
  /** File name, for messages. */
  file: string;
  /** Checks a view and makes the tensor; throws when the storage does not hold it. */
  tensor(view: TensorView): TorchTensor;
}

/** Opcodes that other pickles use, by name, for messages. */
const REFUSED: Readonly<Record<number, string>> = {
  0x93: 'STACK_GLOBAL',
  0x69: 'INST',
  0x6f: 'OBJ',
  0x81: 'NEWOBJ',
  0x92: 'NEWOBJ_EX',
  0x82: 'EXT1',
  0x83: 'EXT2',
  0x84: 'EXT4',
  0x95: 'FRAME',
  0x8f: 'EMPTY_SET',
  0x8b: 'LONG4',
  0x50: 'PERSID',
};

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #options: PickleOptions;
  readonly #stack: Item[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Item>();
  readonly #ordered = new WeakSet<ItemDict>();
  #at = 0;
  #spent = 0;
  #tensors = 0;

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
  }

  load(): TorchValue {
    if (this.#byte() !== 0x80 || this.#byte() !== 2) this.#fail('it is not a pickle of protocol 2');
    for (let ops = 0; ; ops++) {
      if (ops > PICKLE_LIMITS.ops) this.#fail(`it has more than ${String(PICKLE_LIMITS.ops)} operations`);
      const op = this.#byte();
      if (op === 0x2e) break; // STOP
      this.#run(op);
    }
    if (this.#at !== this.#bytes.byteLength) this.#fail('there is something after its end');
    const result = this.#pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) this.#fail('it leaves values behind');
    if (isPlainValue(this.#options.file, result)) return result;
    return this.#fail('it holds no value');
  }

  #fail(problem: string): never {
    throw torchError(this.#options.file, `${problem} (byte ${String(this.#at)} of its pickle)`);
  }

  #byte(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }

  /** Goes `count` bytes on; gives where they begin. */
  #take(count: number): number {
    const start = this.#at;
    if (start + count > this.#bytes.byteLength) this.#fail('it ends too early');
    this.#at += count;
    return start;
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #spend(bytes: number): void {
    this.#spent += bytes;
    if (this.#spent > PICKLE_LIMITS.bytes) this.#fail('it holds more values than are read');
  }

  #push(item: Item, cost: number): void {
    if (this.#stack.length >= PICKLE_LIMITS.stack) this.#fail('it piles up too many values');
    this.#spend(cost);
    this.#stack.push(item);
  }

  #pop(): Item {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) this.#fail('it takes a value that is not there');
    // The length was just checked; null is a value like any other.
    return this.#stack.pop() ?? null;
  }

  #top(): Item {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) this.#fail('it takes a value that is not there');
    return this.#stack.at(-1) ?? null;
  }

  /** Everything above the last mark. */
  #popMark(): Item[] {
    const mark = this.#marks.pop();
    if (mark === undefined) return this.#fail('a mark is missing');
    return this.#stack.splice(mark);
  }

  #run(op: number): void {
    switch (op) {
      case 0x4e: // NONE
        return this.#push(null, COST.slot);
      case 0x88: // NEWTRUE
        return this.#push(true, COST.slot);
      case 0x89: // NEWFALSE
        return this.#push(false, COST.slot);
      case 0x4b: // BININT1
        return this.#push(BigInt(this.#byte()), COST.small);
      case 0x4d: // BININT2
        return this.#push(BigInt(this.#view.getUint16(this.#take(2), true)), COST.small);
      case 0x4a: // BININT
        return this.#push(BigInt(this.#view.getInt32(this.#take(4), true)), COST.small);
      case 0x8a: // LONG1
        return this.#push(this.#long(this.#byte()), COST.small);
      case 0x47: // BINFLOAT
        return this.#push(this.#view.getFloat64(this.#take(8), false), COST.small);
      case 0x58: // BINUNICODE
        return this.#text(this.#uint32(), 'utf-8');
      case 0x55: // SHORT_BINSTRING
        return this.#text(this.#byte(), 'ascii');
      case 0x7d: // EMPTY_DICT
        return this.#push(new Map(), COST.dict);
      case 0x5d: // EMPTY_LIST
        return this.#push([], COST.list);
      case 0x29: // EMPTY_TUPLE
        return this.#tuple([]);
      case 0x28: // MARK
        if (this.#marks.length >= PICKLE_LIMITS.depth) this.#fail('its marks are nested too deep');
        this.#marks.push(this.#stack.length);
        return;
      case 0x74: // TUPLE
        return this.#tuple(this.#popMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const items: Item[] = [];
        for (let i = 0; i < op - 0x84; i++) items.unshift(this.#pop());
        return this.#tuple(items);
      }
      case 0x61: // APPEND
        return this.#append([this.#pop()]);
      case 0x65: // APPENDS
        return this.#append(this.#popMark());
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        return this.#setItems([this.#pop(), value]);
      }
      case 0x75: // SETITEMS
        return this.#setItems(this.#popMark());
      case 0x71: // BINPUT
        return this.#put(this.#byte());
      case 0x72: // LONG_BINPUT
        return this.#put(this.#uint32());
      case 0x68: // BINGET
        return this.#get(this.#byte());
      case 0x6a: // LONG_BINGET
        return this.#get(this.#uint32());
      case 0x63: // GLOBAL
        return this.#global();
      case 0x52: // REDUCE
        return this.#reduce();
      case 0x51: // BINPERSID
        return this.#push(
          storageOf(this.#popTuple('a reference to a storage').items, (problem) => this.#fail(problem)),
          COST.small,
        );
      case 0x62: // BUILD
        return this.#build();
      default: {
        const name = REFUSED[op] ?? `0x${op.toString(16).padStart(2, '0')}`;
        this.#fail(`it uses the operation ${name}, which plain values do not need`);
      }
    }
  }

  #long(width: number): bigint {
    if (width > 8) this.#fail(`it holds an int of ${String(width)} bytes`);
    const start = this.#take(width);
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i] ?? 0);
    return BigInt.asIntN(width * 8, value);
  }

  #text(length: number, encoding: 'utf-8' | 'ascii'): void {
    if (length > PICKLE_LIMITS.stringBytes) this.#fail(`it holds a text of ${String(length)} bytes`);
    const start = this.#take(length);
    const bytes = this.#bytes.subarray(start, start + length);
    if (encoding === 'ascii' && bytes.some((byte) => byte > 0x7f)) this.#fail('a text is not ASCII');
    this.#push(this.#decode(bytes), COST.small + 2 * length);
  }

  #decode(bytes: Uint8Array): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.#fail('a text is not UTF-8');
    }
  }

  #tuple(items: readonly Item[]): void {
    this.#push({ kind: 'tuple', items }, COST.tuple + COST.slot * items.length);
  }

  #append(items: readonly Item[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) return this.#fail('it appends to what is no list');
    this.#spend(COST.slot * items.length);
    for (const item of items) list.push(item);
  }

  #setItems(items: readonly Item[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map)) return this.#fail('it sets a member of what is no dict');
    if (items.length % 2 !== 0) this.#fail('a member of a dict lacks its value');
    this.#spend((COST.member * items.length) / 2);
    for (let i = 0; i < items.length; i += 2) {
      const key: Item | undefined = items[i];
      if (typeof key !== 'string' && typeof key !== 'bigint') {
        return this.#fail('a dict has a key that is neither text nor whole number');
      }
      if (dict.has(key)) this.#fail(`a dict has the key ${JSON.stringify(String(key).slice(0, 80))} twice`);
      dict.set(key, items[i + 1] ?? null);
    }
  }

  #put(index: number): void {
    if (index > PICKLE_LIMITS.memoIndex) this.#fail(`it remembers a value as number ${String(index)}`);
    this.#spend(COST.slot);
    this.#memo.set(index, this.#top());
  }

  #get(index: number): void {
    const item = this.#memo.get(index);
    if (item === undefined) return this.#fail(`it recalls the value ${String(index)}, which it did not set`);
    this.#push(item, COST.slot);
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end === -1 || end - this.#at > 256) this.#fail('a name has no end');
    const start = this.#take(end + 1 - this.#at);
    return this.#decode(this.#bytes.subarray(start, end));
  }

  #global(): void {
    const module = this.#line();
    const name = `${module}.${this.#line()}`;
    if (!TAGS.has(name)) {
      throw torchError(
        this.#options.file,
        `it asks for ${JSON.stringify(name.slice(0, 120))}, which is code and not data`,
        'Do not open this file in Python unless you trust it. Ask for the weights as safetensors.',
      );
    }
    this.#push(new Tag(name), COST.small);
  }

  #popTuple(what: string): ItemTuple {
    const item = this.#pop();
    return isItemTuple(item) ? item : this.#fail(`${what} is not a tuple`);
  }

  #reduce(): void {
    const args = this.#popTuple('the arguments of a call').items;
    const callee = this.#pop();
    const name = callee instanceof Tag ? callee.name : '';
    if (name === ORDERED_DICT && args.length === 0) {
      const made: ItemDict = new Map<TorchKey, Item>();
      this.#ordered.add(made);
      return this.#push(made, COST.dict);
    }
    const fail: Fail = (problem) => this.#fail(problem);
    if (name === REBUILD_TENSOR) {
      if (++this.#tensors > PICKLE_LIMITS.tensors) {
        this.#fail(`it holds more than ${String(PICKLE_LIMITS.tensors)} tensors`);
      }
      return this.#push(this.#options.tensor(tensorView(args, fail)), COST.tensor);
    }
    if (name === REBUILD_PARAMETER) return this.#push(parameterTensor(args, fail), COST.small);
    const [dims] = args;
    if (name === SIZE && args.length === 1 && isItemTuple(dims)) return this.#push(dims, COST.slot);
    this.#fail(`it calls ${name === '' ? 'what is no function' : `${name} in an unknown way`}`);
  }

  /** State set on an object: only what an OrderedDict without attributes writes. */
  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    const harmless = target instanceof Map && this.#ordered.has(target) && isEmptyDict(state);
    if (!harmless) this.#fail('it sets attributes of an object (BUILD)');
  }
}

/** The value of a pickle; tensors are made by `options.tensor`. Throws TORCH_FILE_INVALID. */
export function readPickle(bytes: Uint8Array, options: PickleOptions): TorchValue {
  return new Unpickler(bytes, options).load();
}
