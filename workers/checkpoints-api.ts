/** The contract between the page and the training worker about kept checkpoints: types only. */
import type { FinetuneConfig } from '../src/engine/train/types.ts';
import type { Comparison } from '../src/checkpoints/compare.ts';
import type { Peek } from '../src/checkpoints/peek.ts';
import type { SavePolicy } from '../src/checkpoints/save-policy.ts';
import type { ResumeProof } from '../src/checkpoints/verify-resume.ts';
import type { ListQuery } from '../src/storage/list.ts';
import type { RetentionPolicy } from '../src/storage/retention.ts';
import type { DataOptions, LoraChoice, Progress, RunRequest } from './api.ts';

export type { Comparison, ListQuery, Peek, ResumeProof, RetentionPolicy, SavePolicy };

/** A checkpoint as a row of the list. */
export interface CheckpointRow {
  id: string;
  runId: string;
  runName: string;
  name: string;
  step: number;
  kind: 'full' | 'sampler' | 'hf-trainer';
  /** Why it was saved. */
  trigger: string;
  createdAt: string;
  /** Bytes as stored. */
  size: number;
  metrics: Record<string, number>;
  metadata: Record<string, string>;
  tags: string[];
  pinned: boolean;
  note: string;
  verified: boolean;
  /** What is wrong with its bytes; null for nothing. */
  damage: string | null;
  expiresAt: string | null;
  /** Name of the checkpoint that it went on from, with its run where that is another; null for none. */
  parent: string | null;
  /** Bytes of the file per stored byte, where it is stored as a difference; null elsewhere. */
  deltaRatio: number | null;
  baseId: string | null;
  /** Why a server of the Tinker family cannot train with its settings, as parts of a sentence; empty where one can. */
  serverObstacles: string[];
}

export interface RunRow {
  id: string;
  name: string;
  createdAt: string;
  /** What it was trained with, in words; empty where that is not known (imports). */
  model: string;
  data: string;
  /** Optimizer steps of the whole run; null where that is not known. */
  steps: number | null;
  checkpoints: number;
  /** Bytes of its checkpoints, and those that no other run shares. */
  bytes: number;
  ownBytes: number;
  /** The newest checkpoint that is not known to be damaged and can be resumed. */
  newest: CheckpointRow | null;
  /** It stopped before its end, and nothing is training it now. */
  interrupted: boolean;
}

export interface BinRow {
  id: string;
  name: string;
  runName: string;
  deletedAt: string;
  reason: 'asked' | 'retention' | 'replaced';
  size: number;
}

/** The store as the page shows it. */
export interface StoreView {
  runs: RunRow[];
  items: CheckpointRow[];
  /** Matches on all pages. */
  total: number;
  offset: number;
  nextOffset: number | null;
  totalBytes: number;
  binBytes: number;
  bin: BinRow[];
  /** Of the whole origin, as the browser estimates it; null where it does not say. */
  space: { usage: number; quota: number; persisted: boolean } | null;
  /** What was found when the store was opened: swept saves, damage, a store that the browser threw away. */
  notices: string[];
  /** To be kept by the page, outside the store. */
  sentinel: string | null;
}

/** What a policy would do, by name. */
export interface PrunePlan {
  remove: { checkpoint: CheckpointRow; reason: 'not-kept' | 'expired' | 'damaged' }[];
  keep: { checkpoint: CheckpointRow; reasons: string[] }[];
  bytes: number;
}

/** What resuming a run needs, so that the page can load it first. */
export interface ResumePlan {
  checkpoint: CheckpointRow;
  /** `files`: the person has to pick the model again; `label` is what it was called. */
  model:
    | { kind: 'embedded' }
    | { kind: 'hub'; id: string; revision: string | null }
    | { kind: 'files'; label: string };
  /** `file` is null where the studio has no copy, and the person has to pick it again. */
  data: { kind: 'demo'; id: string } | { kind: 'file'; name: string; file: File | null };
  dataOptions: DataOptions;
  training: FinetuneConfig;
  lora: LoraChoice;
  steps: number;
  samplePrompt: string;
  sampleEvery: number;
  /** What going on promises on this GPU. */
  promise: { exact: boolean; text: string };
  /** Newer checkpoints that were found damaged and are passed over. */
  damaged: string[];
}

export interface CheckpointChange {
  name?: string;
  tags?: string[];
  pinned?: boolean;
  note?: string;
  /** From now on; null takes the limit away. */
  ttlSeconds?: number | null;
}

export type ExportKind = 'full' | 'sampler' | 'hf-trainer';

/** Files that were dropped or picked, with their folders in the path. */
export type DroppedFile = { path: string; file: File };

/** The part of the worker's interface that keeps checkpoints. */
export interface CheckpointsApi {
  /** `sentinel` is what the page kept from the last view. */
  storeView(query: ListQuery, sentinel: string | null): Promise<StoreView>;
  /** Saves the run that is training or held, by hand; between two steps. */
  saveNow(what: { name?: string; note?: string }): Promise<CheckpointRow>;
  /** The page is hidden or closed: saves what is not saved yet, as far as the browser lets it. */
  saveHidden(): Promise<void>;
  resumePlan(checkpointId: string): Promise<ResumePlan>;
  changeCheckpoint(id: string, change: CheckpointChange): Promise<void>;
  removeCheckpoints(ids: string[], options: { force?: boolean }): Promise<void>;
  restoreCheckpoints(ids: string[]): Promise<void>;
  emptyBin(): Promise<{ bytes: number }>;
  planPrune(runId: string, policy: RetentionPolicy): Promise<PrunePlan>;
  prune(runId: string, policy: RetentionPolicy): Promise<PrunePlan>;
  verifyCheckpoint(id: string): Promise<{ damage: string | null }>;
  compare(a: string, b: string): Promise<Comparison>;
  exportCheckpoint(
    id: string,
    what: { kind: ExportKind; dtype: 'F32' | 'BF16' },
    onProgress: (progress: Progress) => void,
  ): Promise<{ name: string; blob: Blob }>;
  /** Ends the export or import under way. */
  cancelTransfer(): Promise<void>;
  /** What files are, before anything is done with them, and which of them belong to it. */
  peek(files: readonly DroppedFile[]): Promise<{ peek: Peek; paths: string[] }>;
  importFiles(
    files: readonly DroppedFile[],
    onProgress: (progress: Progress) => void,
  ): Promise<{ checkpoint: CheckpointRow; alreadyThere: boolean; notes: string[] }>;
  /** Trains a few steps twice on the loaded model and data, and compares all bits. */
  proveResume(request: RunRequest, onProgress: (progress: Progress) => void): Promise<ResumeProof>;
}
