/** checkpoint.json as a part of a stored checkpoint: made when it is saved, kept as it came when it is imported. */
import { StudioError } from '../errors.ts';
import { textEntry } from '../formats/file-entry.ts';
import {
  FORMAT_VERSION,
  MANIFEST_FILE,
  manifestText,
  parseManifest,
  type Manifest,
} from '../formats/manifest.ts';
import type { NewCheckpoint, NewPart } from './new-checkpoint.ts';
import type { CheckpointAbout, CheckpointRecord, PartRecord } from './records.ts';

type ListedFile = Pick<PartRecord, 'path' | 'size' | 'sha256'>;

export interface ManifestIds {
  id: string;
  runId: string;
  createdAt: string;
}

export interface ManifestPart {
  part: NewPart;
  about: CheckpointAbout;
  /** Its own ids, where it came with an import. */
  origin: CheckpointRecord['origin'];
}

const listed = (parts: readonly ListedFile[]): Manifest['files'] =>
  parts.map(({ path, size, sha256 }) => ({ path, size, sha256 }));

function checkFiles(manifest: Manifest, parts: readonly ListedFile[]): void {
  const text = (files: Manifest['files']): string[] =>
    files.map(({ path, size, sha256 }) => `${path} ${String(size)} ${sha256}`).sort();
  const announced = text(manifest.files);
  const found = text(listed(parts));
  if (announced.length === found.length && announced.every((line, i) => line === found[i])) return;
  const wrong =
    [...announced, ...found].find((line) => !announced.includes(line) || !found.includes(line)) ?? '';
  throw new StudioError({
    code: 'CHECKPOINT_INVALID',
    message: `${MANIFEST_FILE} and the files disagree about ${wrong.split(' ')[0] ?? ''}.`,
    fix: 'Export the checkpoint again and import that.',
  });
}

function about({ base, lora, optimizer, determinism, appVersion }: CheckpointAbout): CheckpointAbout {
  return { base, lora, optimizer, determinism, appVersion };
}

/** The manifest of a checkpoint that is being saved, complete with the hashes of its parts. */
export function manifestPart(
  input: Pick<NewCheckpoint, 'manifest' | 'kind' | 'name' | 'step' | 'metrics' | 'parentId'>,
  ids: ManifestIds,
  parts: readonly PartRecord[],
): ManifestPart | null {
  const { manifest } = input;
  if (manifest === null) return null;
  if (typeof manifest === 'string') {
    const parsed = parseManifest(manifest);
    checkFiles(parsed, parts);
    const origin = { id: parsed.id, runId: parsed.runId, name: parsed.name };
    return { part: textEntry(MANIFEST_FILE, manifest), about: about(parsed), origin };
  }
  const text = manifestText({
    formatVersion: FORMAT_VERSION,
    kind: input.kind,
    ...ids,
    parentId: input.parentId ?? null,
    name: input.name,
    step: input.step,
    ...about(manifest),
    paramOrder: manifest.paramOrder,
    tensors: manifest.tensors,
    files: listed(parts),
    metrics: { ...input.metrics },
  });
  return { part: textEntry(MANIFEST_FILE, text), about: about(parseManifest(text)), origin: null };
}

/** The same checkpoint.json under another name. */
export function renamedManifest(text: string, name: string): string {
  const { sha256Self: _, ...manifest } = parseManifest(text);
  return manifestText({ ...manifest, name });
}
