/** One of the tiny models of tools/parity_goldens.py with its adapter, opened for training. Tests only. */
import { readFile } from 'node:fs/promises';
import type { Adapter } from '../../formats/adapter.ts';
import { bytesSource } from '../../formats/bytes.ts';
import { memoryFileSet } from '../../formats/file-set.ts';
import { readPeftFolder } from '../../formats/import-layout.ts';
import { openSafetensors } from '../../formats/safetensors-read.ts';
import type { TensorSource } from '../../formats/tensors.ts';
import { loadBaseModel, type BaseModel } from '../model/base-model.ts';
import { parseModelConfig } from '../model/config.ts';
import { TrainingSession, type SessionOptions } from '../train/session.ts';
import { testDevice } from './gpu.ts';

const fixtures = new URL('../../../e2e/fixtures/', import.meta.url).pathname;

export const fixtureJson = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(`${fixtures}${path}`, 'utf8'));

export async function fixtureTensors(path: string): Promise<TensorSource> {
  return openSafetensors(bytesSource(path, Uint8Array.from(await readFile(`${fixtures}${path}`))));
}

export interface AdaptedModel extends Disposable {
  base: BaseModel;
  adapter: Adapter;
  /** A session on the model, freed at the end. */
  open(options?: Partial<SessionOptions>): Promise<TrainingSession>;
}

/** Each model is loaded once in a test file, since compiling its kernels takes seconds; the device's end frees it. */
const bases = new Map<string, Promise<BaseModel>>();

async function loadBase(name: string): Promise<BaseModel> {
  return loadBaseModel(testDevice(), {
    config: parseModelConfig(await fixtureJson(`parity/${name}/config.json`)),
    tensors: await fixtureTensors(`parity/${name}/model.safetensors`),
  });
}

/** Opens a model of `e2e/fixtures/parity` by its name. At the end its sessions must have left nothing behind. */
export async function openAdaptedModel(name: string): Promise<AdaptedModel> {
  const loading = bases.get(name) ?? loadBase(name);
  bases.set(name, loading);
  const base = await loading;
  const { bytes } = base.pool;
  const files = await Promise.all(
    ['adapter_config.json', 'adapter_model.safetensors'].map(
      async (file) =>
        [file, Uint8Array.from(await readFile(`${fixtures}parity/${name}/adapter/${file}`))] as const,
    ),
  );
  const { adapter } = await readPeftFolder(memoryFileSet('adapter', new Map(files)));
  const sessions: TrainingSession[] = [];
  return {
    base,
    adapter,
    async open(options = {}) {
      const session = await TrainingSession.create(base, {
        settings: adapter.settings,
        start: { tensors: adapter.tensors },
        maxTokens: 32,
        evaluate: true,
        ...options,
      });
      sessions.push(session);
      return session;
    },
    [Symbol.dispose]() {
      for (const session of sessions) session.dispose();
      if (base.pool.bytes !== bytes) throw new Error(`${base.pool.bytes - bytes} bytes were not freed.`);
    },
  };
}
