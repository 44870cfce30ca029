/** What a person is told when there is no room: how much is needed, what takes the room, what can go. */
import { StudioError } from '../errors.ts';
import type { SpaceEstimate, StoreBackend } from './backend.ts';
import { bytesOnlyIn, type StoreContents } from './records.ts';
import { sizeText } from './sizes.ts';

/** What the homes throw; `spaceError` adds the sizes. */
export function storeFull(label: string, cause?: unknown): StudioError {
  return new StudioError(
    {
      code: 'STORE_FULL',
      message: `There is no room left in ${label}.`,
      fix: 'Empty the bin, or delete checkpoints for good.',
    },
    { cause },
  );
}

export function isStoreFull(error: unknown): error is StudioError {
  return error instanceof StudioError && error.code === 'STORE_FULL';
}

/** The same with sizes. Nothing in here may fail: it is asked when little works. */
export async function spaceError(
  backend: StoreBackend,
  what: { name: string; runId: string; neededBytes: number; cause?: unknown },
): Promise<StudioError> {
  const space = await backend.estimate().catch(() => null);
  const contents = await backend.contents().catch(() => null);
  const room = roomText(what.neededBytes, space, contents);
  return new StudioError(
    {
      code: 'STORE_FULL',
      message: `${what.name} was not saved: it needs ${sizeText(what.neededBytes)}${room}. Earlier checkpoints are untouched.`,
      fix: contents === null ? 'Free some space and save again.' : whatCanGo(contents, what.runId),
    },
    { cause: what.cause },
  );
}

/** A browser's estimate may claim room that it then refuses; in that case only what is stored is certain. */
function roomText(needed: number, space: SpaceEstimate | null, contents: StoreContents | null): string {
  const free = space === null ? null : Math.max(0, space.quota - space.usage);
  if (free !== null && free < needed) return `, and ${sizeText(free)} are free`;
  if (contents === null) return '';
  const { checkpoints, tombstones } = contents;
  const stored = bytesOnlyIn([...checkpoints, ...tombstones.map(({ checkpoint }) => checkpoint)], []);
  return `, and there is no more room beside the ${sizeText(stored)} that are stored`;
}

function whatCanGo(contents: StoreContents, runId: string): string {
  const { checkpoints, tombstones } = contents;
  const ofRun = checkpoints.filter((checkpoint) => checkpoint.runId === runId && !checkpoint.pinned);
  const others = checkpoints.filter((checkpoint) => !ofRun.includes(checkpoint));
  const binned = tombstones.map(({ checkpoint }) => checkpoint);
  const bin = bytesOnlyIn(binned, checkpoints);
  const run = bytesOnlyIn(ofRun, [...others, ...binned]);
  const ways = [
    ...(bin > 0 ? [`Empty the bin (${sizeText(bin)}).`] : []),
    ...(ofRun.length > 0
      ? [`Delete checkpoints of this run for good (${String(ofRun.length)} unpinned, ${sizeText(run)}).`]
      : []),
    ...(others.length > 0
      ? [`Delete other checkpoints for good (${sizeText(bytesOnlyIn(others, ofRun))}).`]
      : []),
  ];
  return ways.length === 0 ? 'Free some space and save again.' : `${ways.join(' ')} Then save again.`;
}
