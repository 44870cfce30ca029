/**
 * Base models on the GPU, each once: clients of the same model share its weights. The last one that lost its users stays
 * for a while, since the next client often wants it again: loading and compiling take seconds.
 */
import type { BaseModel } from '../engine/index.ts';
import { loadBase } from '../run/load-base.ts';
import type { OpenModel } from '../run/open-model.ts';
import { tuneBase } from '../run/tune-base.ts';
import { isLost, mappedOn, watchDevice } from './device-loss.ts';
import type { LocalGpu, LocalHost } from './host.ts';

export interface OpenBase {
  readonly name: string;
  readonly model: OpenModel;
  readonly base: BaseModel;
  readonly gpu: LocalGpu;
  /** Gives the weights back. May be called twice. */
  release(): void;
}

interface Entry {
  users: number;
  /** Once it is open. */
  device: GPUDevice | null;
  opening: Promise<Omit<OpenBase, 'release'>>;
}

export interface BaseLibrary {
  open(name: string): Promise<OpenBase>;
  /** The model without its weights, for its tokenizer and its size. */
  describe(name: string): Promise<OpenModel>;
  /** Frees what nobody uses any more, now and from now on. */
  close(): void;
}

/** How long a model without users stays. */
const IDLE_SECONDS = 60;

export function createBaseLibrary(host: LocalHost, idleSeconds = IDLE_SECONDS): BaseLibrary {
  const entries = new Map<string, Entry>();
  let idle: { entry: Entry; free: () => void; keep: () => void } | null = null;
  let closed = false;
  const described = new Map<string, Promise<OpenModel>>();

  const describe = (name: string): Promise<OpenModel> => {
    const known = described.get(name);
    if (known !== undefined) return known;
    const opening = host.openModel(name);
    described.set(name, opening);
    opening.catch(() => described.delete(name));
    return opening;
  };

  const load = async (name: string): Promise<Omit<OpenBase, 'release'>> => {
    const model = await describe(name);
    const gpu = await host.gpu();
    watchDevice(gpu.device);
    return mappedOn(gpu.device, async () => {
      const base = await loadBase(model, gpu.device);
      if (host.tuning !== null) await tuneBase(base, gpu.info, host.tuning);
      return { name, model, base, gpu };
    });
  };

  const freeNow = (name: string, entry: Entry): void => {
    if (entries.get(name) === entry) entries.delete(name);
    void entry.opening.then(({ base }) => base.dispose()).catch(() => undefined);
  };

  const freeLater = (name: string, entry: Entry): void => {
    if (closed || (entry.device !== null && isLost(entry.device))) {
      freeNow(name, entry);
      return;
    }
    idle?.free();
    const free = (): void => {
      clearTimeout(timer);
      idle = null;
      freeNow(name, entry);
    };
    const timer = setTimeout(free, idleSeconds * 1000);
    // In Node a timer keeps the program alive, in browsers it is a number.
    (timer as { unref?: () => void }).unref?.();
    const keep = (): void => {
      clearTimeout(timer);
      idle = null;
    };
    idle = { entry, free, keep };
  };

  /** Takes a model that has no users back into use. Where another one is wanted, it makes room first. */
  const wake = (entry: Entry | undefined): void => {
    if (idle === null) return;
    if (idle.entry === entry) idle.keep();
    else idle.free();
  };

  return {
    describe,
    close: () => {
      closed = true;
      idle?.free();
    },
    open: async (name) => {
      const known = entries.get(name);
      // Weights on a device that is lost are gone; whoever uses them finds out, and others get new ones.
      const entry = known?.device && isLost(known.device) ? undefined : known;
      wake(entry);
      const mine = entry ?? { users: 0, device: null, opening: load(name) };
      entries.set(name, mine);
      mine.users += 1;
      const leave = (failed: boolean): void => {
        mine.users -= 1;
        if (mine.users > 0) return;
        (failed ? freeNow : freeLater)(name, mine);
      };
      try {
        const opened = await mine.opening;
        mine.device = opened.gpu.device;
        let released = false;
        return {
          ...opened,
          release: () => {
            if (!released) leave(false);
            released = true;
          },
        };
      } catch (error) {
        leave(true);
        throw error;
      }
    },
  };
}
