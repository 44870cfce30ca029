/** Sampler engines that are free are kept for the next sampler of the same form: an RL loop makes one in each iteration. */
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import type { BaseLibrary } from './bases.ts';
import { isLost } from './device-loss.ts';
import { SamplerEngine } from './sampler-engine.ts';

export interface EnginePool {
  /** An engine with these weights; null is the base model alone. */
  acquire(baseModel: string, adapter: Adapter | null): Promise<SamplerEngine>;
  release(engine: SamplerEngine): Promise<void>;
  /** The engine with other weights, or another one where these have another form. When it rejects, the engine is as it was. */
  replace(engine: SamplerEngine, adapter: Adapter): Promise<SamplerEngine>;
  close(): Promise<void>;
}

const MOST_IDLE = 3;

const formOf = (settings: LoraSettings): string => {
  const { rank, alpha, rslora, targetModules, targetPaths, rankPattern, alphaPattern } = settings;
  return JSON.stringify([rank, alpha, rslora, targetModules, targetPaths, rankPattern, alphaPattern]);
};

/** What is on a lost device cannot be loaded again. */
const isGone = ({ base }: SamplerEngine): boolean => isLost(base.gpu.device);

export function createEnginePool(bases: BaseLibrary): EnginePool {
  const idle: SamplerEngine[] = [];
  let closed = false;

  const fits = (engine: SamplerEngine, baseModel: string, adapter: Adapter | null): boolean =>
    !isGone(engine) &&
    engine.base.name === baseModel &&
    (adapter === null || formOf(engine.settings) === formOf(adapter.settings));

  const acquire = async (baseModel: string, adapter: Adapter | null): Promise<SamplerEngine> => {
    for (const gone of idle.filter(isGone)) {
      idle.splice(idle.indexOf(gone), 1);
      await gone.dispose();
    }
    const at = idle.findIndex((engine) => fits(engine, baseModel, adapter));
    const [found] = at < 0 ? [] : idle.splice(at, 1);
    if (found !== undefined) {
      await found.load(adapter);
      return found;
    }
    const base = await bases.open(baseModel);
    try {
      return await SamplerEngine.create(base, adapter);
    } catch (error) {
      base.release();
      throw error;
    }
  };

  const release = async (engine: SamplerEngine): Promise<void> => {
    if (closed) {
      await engine.dispose();
      return;
    }
    idle.push(engine);
    if (idle.length > MOST_IDLE) await idle.shift()?.dispose();
  };

  return {
    acquire,
    release,
    replace: async (engine, adapter) => {
      if (fits(engine, engine.base.name, adapter)) {
        await engine.load(adapter);
        return engine;
      }
      const other = await acquire(engine.base.name, adapter);
      await release(engine);
      return other;
    },
    close: async () => {
      closed = true;
      for (const engine of idle.splice(0)) await engine.dispose();
    },
  };
}
