/**
 * checkpoint.json: what a checkpoint is, what it was made from, and the hash of every other file beside it. It is the
 * first entry of an archive, so that everything after it can be checked as it streams in.
 */
import { z } from 'zod';
import { StudioError } from '../errors.ts';
import type { LoraSettings } from './adapter.ts';
import { sortedJson } from './peft-write.ts';
import { sha256Hex } from './sha256.ts';
import { parseStrictObject, type JsonObject } from './strict-json.ts';

export const MANIFEST_FILE = 'checkpoint.json';
export const FORMAT_VERSION = 1;
/** Room for 100,000 tensors. */
export const MAX_MANIFEST_BYTES = 32 * 2 ** 20;

// The studio's page forbids running text as code, which zod tries by default in order to be faster.
z.config({ jitless: true });

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const line = z.string().max(1024);
const count = z.number().int().nonnegative();

export const manifestSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.enum(['full', 'sampler', 'hf-trainer']),
  id: line,
  runId: line,
  parentId: line.nullable(),
  /** Unique within its run. */
  name: z.string().regex(/^[A-Za-z0-9._-]{1,255}$/),
  step: count,
  /** ISO 8601, UTC. */
  createdAt: line,
  appVersion: line,
  base: z.object({
    id: line,
    revision: line.nullable(),
    configSha256: sha256,
    tokenizerSha256: sha256,
    weightsSha256: sha256.optional(),
  }),
  lora: z.object({
    r: count,
    alpha: z.number(),
    dropout: z.number(),
    rslora: z.boolean(),
    targetModules: z.array(line),
    targetPaths: z.array(line).optional(),
    rankPattern: z.record(z.string(), count),
    alphaPattern: z.record(z.string(), z.number()),
  }),
  optimizer: z.object({
    type: z.literal('adamw'),
    betas: z.tuple([z.number(), z.number()]),
    eps: z.number(),
    weightDecay: z.number(),
  }),
  /** Names as in adapter_model.safetensors, in the order of `named_parameters()`: stored, never inferred. */
  paramOrder: z.array(line),
  /** SHA-256 of the raw little-endian bytes of each tensor. */
  tensors: z.record(z.string(), z.object({ dtype: line, shape: z.array(count), sha256 })),
  files: z.array(z.object({ path: line, size: count, sha256 })),
  metrics: z.record(z.string(), z.number()),
  /** What must be equal for a resumed run to be equal bit for bit. */
  determinism: z.object({ adapter: line, shaderHash: line, dtype: line }),
  sha256Self: sha256,
});

export type Manifest = z.infer<typeof manifestSchema>;

/** The `lora` member for these settings. */
export function manifestLora(settings: LoraSettings): Manifest['lora'] {
  const { rank, alpha, dropout, rslora, targetModules, targetPaths, rankPattern, alphaPattern } = settings;
  const paths = targetPaths === undefined ? {} : { targetPaths };
  return { r: rank, alpha, dropout, rslora, targetModules, ...paths, rankPattern, alphaPattern };
}

/** The hash of a manifest without its own hash member, in its one canonical form. */
function selfHash(manifest: object): string {
  const { sha256Self: _, ...rest } = manifest as JsonObject;
  return sha256Hex(sortedJson(rest));
}

function invalid(message: string): StudioError {
  return new StudioError({
    code: 'ARCHIVE_INVALID',
    message,
    fix: 'The checkpoint is damaged or was changed after it was written. Export it again.',
  });
}

/** Parses and checks a manifest: version, hash over itself, then every field. */
export function parseManifest(json: string): Manifest {
  const raw = parseStrictObject(json, { what: MANIFEST_FILE, code: 'ARCHIVE_INVALID' });
  const version = raw['formatVersion'];
  if (typeof version === 'number' && version > FORMAT_VERSION) {
    throw new StudioError({
      code: 'FORMAT_NEWER',
      message: `${MANIFEST_FILE} has the format version ${String(version)}; this program knows ${String(FORMAT_VERSION)}.`,
      fix: 'Open the checkpoint with a newer version of Lorikeet.',
    });
  }
  if (raw['sha256Self'] !== selfHash(raw)) {
    throw invalid(`${MANIFEST_FILE} does not match its own hash.`);
  }
  const parsed = manifestSchema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(`${MANIFEST_FILE}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}.`);
}

/** The text of checkpoint.json; `sha256Self` is added here. Throws when it would not be read back. */
export function manifestText(manifest: Omit<Manifest, 'sha256Self'>): string {
  const text = `${sortedJson({ ...manifest, sha256Self: selfHash(manifest) }, 2)}\n`;
  parseManifest(text);
  return text;
}
