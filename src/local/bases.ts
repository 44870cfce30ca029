/** Base models on the GPU, each once: clients of the same model share its weights, and the last to go frees them. */
import type { BaseModel } from '../engine/index.ts';
import { loadBase } from '../run/load-base.ts';
import type { OpenModel } from '../run/open-model.ts';
import { tuneBase } from '../run/tune-base.ts';
import type { LocalGpu, LocalHost } from './host.ts';

export interface OpenBase {
  readonly name: string;
  readonly model: OpenModel;
  readonly base: BaseModel;
  readonly gpu: LocalGpu;
  /** Frees the weights once nobody uses them. May be called twice. */
  release(): void;
}

interface Entry {
  users: number;
  opening: Promise<Omit<OpenBase, 'release'>>;
}

export interface BaseLibrary {
  open(name: string): Promise<OpenBase>;
  /** The model without its weights, for its tokenizer and its size. */
  describe(name: string): Promise<OpenModel>;
}

export function createBaseLibrary(host: LocalHost): BaseLibrary {
  const entries = new Map<string, Entry>();
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
    const base = await loadBase(model, gpu.device);
    if (host.tuning !== null) await tuneBase(base, gpu.info, host.tuning);
    return { name, model, base, gpu };
  };

  return {
    describe,
    open: async (name) => {
      let entry = entries.get(name);
      if (entry === undefined) {
        entry = { users: 0, opening: load(name) };
        entries.set(name, entry);
      }
      const mine = entry;
      mine.users += 1;
      const leave = (): void => {
        mine.users -= 1;
        if (mine.users > 0) return;
        if (entries.get(name) === mine) entries.delete(name);
        void mine.opening.then(({ base }) => base.dispose()).catch(() => undefined);
      };
      try {
        const opened = await mine.opening;
        let released = false;
        return {
          ...opened,
          release: () => {
            if (!released) leave();
            released = true;
          },
        };
      } catch (error) {
        leave();
        throw error;
      }
    },
  };
}
