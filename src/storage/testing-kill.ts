/**
 * Killing a program that saves, at random moments, and judging what it left. Runs in Node and in the test browser; the
 * ledger is kept by whoever kills.
 */
import { openCheckpointStore } from './open-store.ts';
import type { NewCheckpoint } from './new-checkpoint.ts';
import { bytesEntry } from '../formats/file-entry.ts';
import { looseChunks, testBytes, testCheckpoint, type TestHome } from './testing-store.ts';

const OPTIONS = { chunkBytes: 4096 };

/** What a newly opened store looks like. */
export interface Inspection {
  listed: string[];
  /** What is wrong with it, in words. */
  problems: string[];
  /** Saves that were swept, for the figures. */
  unfinished: number;
  swept: number;
}

/** Opens the store as the next start would, and reads back every byte of it. */
export async function inspectStore(home: TestHome): Promise<Inspection> {
  const backend = await home.backend();
  const store = await openCheckpointStore(backend, OPTIONS);
  const { start } = store;
  const problems: string[] = [];
  if (!start.swept.done) problems.push('the sweep did not run');
  if (start.damaged.length > 0) problems.push(`${String(start.damaged.length)} checkpoints miss bytes`);
  for (const { what, problem } of start.unreadable) problems.push(`${what}: ${problem}`);
  const { items } = await store.list({ limit: 10_000 });
  for (const { id, name } of items) {
    const { damage } = await store.verify(id);
    if (damage !== null) problems.push(`${name} is listed and damaged: ${damage.problem}`);
  }
  for (const { checkpoint } of await store.bin()) {
    for (const part of checkpoint.parts) {
      for (const { sha256 } of part.chunks) {
        if ((await backend.readChunk(sha256)) === null)
          problems.push(`${checkpoint.name} in the bin misses bytes`);
      }
    }
  }
  for (const run of await store.runs()) {
    const { checkpoint } = await store.latest(run.id);
    const has = items.some(({ runId, kind }) => runId === run.id && kind === 'full');
    if (has && checkpoint === null) problems.push(`${run.name} has no checkpoint to go on from`);
  }
  const loose = await looseChunks(backend);
  if (loose.orphans + loose.missing > 0) problems.push(`loose chunks: ${JSON.stringify(loose)}`);
  if ((await backend.contents()).journals.length > 0) problems.push('a journal is left');
  await store.close();
  const { unfinished, chunks } = start.swept;
  return { listed: items.map(({ id }) => id), problems, unfinished: unfinished.length, swept: chunks };
}

/** Numbers in [0, 1) that are the same for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Saves, overwrites, renames, prunes, deletes and restores without end. Every change is reported: `deleting` before
 * it, `saved` and `deleted` after it, with ids.
 */
export async function churn(
  home: TestHome,
  seed: number,
  report: (line: string) => Promise<void>,
): Promise<never> {
  const random = randomNumbers(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const store = await openCheckpointStore(await home.backend(), OPTIONS);
  const run = (await store.runs())[0] ?? (await store.createRun({ name: 'pirates' }));
  const writer = await store.openRun(run.id);
  if (!writer.writable) throw new Error(writer.reason);
  const input = (step: number, changes: Partial<NewCheckpoint> = {}): NewCheckpoint => {
    const size = 1000 + pick(40_000);
    const parts = [
      bytesEntry('adapter_model.safetensors', testBytes(seed * 1000 + step, size)),
      bytesEntry('state/optimizer.safetensors', testBytes(seed * 1000 + step + 7, size)),
      bytesEntry('tokenizer.json', testBytes(1, 9000)),
    ];
    return testCheckpoint(step, { parts, name: `s-${String(seed)}-${String(step)}`, ...changes });
  };
  const listed = async () => (await store.list({ runId: run.id, limit: 1000 })).items;
  for (let step = 1; ; step++) {
    const what = random();
    if (what < 0.45) {
      const verify = random() < 0.8;
      await report(`saved ${(await writer.save(input(step), { verify })).checkpoint.id}`);
    } else if (what < 0.6) {
      const old = (await listed()).filter(({ name }) => name === 'rolling').map(({ id }) => id);
      await report(`deleting ${old.join(' ')}`);
      const { checkpoint } = await writer.save(input(step, { name: 'rolling', overwrite: true }));
      await report(`saved ${checkpoint.id}`);
      await report(`deleted ${old.join(' ')}`);
    } else if (what < 0.75) {
      for (const { id } of await listed()) await store.verify(id);
      const policy = { keepLatest: 2 + pick(3), keepEvery: 10 };
      const ids = (await store.planPrune(run.id, policy)).remove.map(({ checkpoint }) => checkpoint.id);
      await report(`deleting ${ids.join(' ')}`);
      await store.prune(run.id, policy);
      await report(`deleted ${ids.join(' ')}`);
    } else {
      const items = await listed();
      const any = items[pick(items.length)];
      if (any === undefined) continue;
      if (what < 0.82) await store.update(any.id, { name: `r-${String(seed)}-${String(step)}` });
      else if (what < 0.9) await store.update(any.id, { tags: [`t${String(step)}`] });
      else if (what < 0.97 && items.length > 1) {
        await report(`deleting ${any.id}`);
        await store.remove([any.id], { force: true });
        await store.restore([any.id]);
        await report(`saved ${any.id}`);
      } else await store.emptyBin('all');
    }
  }
}

/** What was promised by the lines of a program that was then killed. */
export class KillLedger {
  /** True: must be listed. False: must not be. Absent: was on its way from one to the other. */
  readonly #promised = new Map<string, boolean>();
  readonly #known = new Set<string>();
  saved = 0;
  deleted = 0;

  note(line: string): void {
    const [word, ...ids] = line.trim().split(' ');
    for (const id of ids) {
      this.#known.add(id);
      if (word === 'deleting') this.#promised.delete(id);
      else this.#promised.set(id, word === 'saved');
      if (word === 'saved') this.saved += 1;
      if (word === 'deleted') this.deleted += 1;
    }
  }

  /** What is wrong, by the promises and by the inspection itself; then takes over what is there. */
  judge({ listed, problems }: Inspection): string[] {
    const there = new Set(listed);
    const wrong = [...problems];
    for (const [id, promised] of this.#promised) {
      if (there.has(id) !== promised)
        wrong.push(`${id} was ${promised ? 'saved and is lost' : 'deleted and is back'}`);
    }
    const unknown = listed.filter((id) => !this.#known.has(id));
    if (unknown.length > 1) wrong.push(`${String(unknown.length)} checkpoints come from nowhere`);
    for (const id of [...this.#known, ...unknown]) {
      this.#known.add(id);
      this.#promised.set(id, there.has(id));
    }
    return wrong;
  }
}
