/**
 * A model repository on the HuggingFace Hub as a folder of files. The revision is resolved to a commit once, so all
 * files belong together; a file is downloaded when it is opened, and comes from the cache afterwards, also offline.
 */
import { fileDownloadInfo, listFiles, modelInfo } from '@huggingface/hub';
import { bytesSource, type ByteSource } from '../formats/bytes.ts';
import type { FileSet } from '../formats/file-set.ts';
import { Sha256 } from '../formats/sha256.ts';
import { sourceChunks } from '../formats/streams.ts';
import type { HubCache } from './hub-cache.ts';
import { downloadToCache } from './hub-download.ts';
import { hubError, isConnectionError, toHubError } from './hub-errors.ts';

export interface HubProgress {
  file: string;
  /** Bytes of this file that are there, those of earlier downloads included. */
  received: number;
  size: number;
}

export interface HubModelOptions {
  /** `owner/name`, or a bare name. */
  id: string;
  cache: HubCache;
  /** Branch, tag or commit; default `main`. */
  revision?: string;
  /** Address of the Hub; default https://huggingface.co. */
  hubUrl?: string;
  /** Access token (`hf_...`) for private and gated models. */
  token?: string;
  fetch?: typeof fetch;
  onProgress?: (progress: HubProgress) => void;
  signal?: AbortSignal;
  /** Pause before the second attempt after a failure; default 500 ms, doubled each time. */
  retryDelayMs?: number;
}

export interface HubModel extends FileSet {
  readonly id: string;
  /** The commit that `revision` stood for. */
  readonly commit: string;
  /** The Hub could not be reached: the listing is the one of the last visit. */
  readonly offline: boolean;
}

interface RemoteFile {
  path: string;
  size: number;
  /** For files in large storage the SHA-256 of their content. */
  sha256: string | null;
}

interface Listing {
  commit: string;
  files: RemoteFile[];
}

const ID = /^[A-Za-z0-9][\w.-]{0,95}(\/[A-Za-z0-9][\w.-]{0,95})?$/;
const FILE = /^[A-Za-z0-9_][\w.-]{0,200}$/;
const MAX_FILES = 10_000;

/** Whether a text can be a Hub id: `owner/name` or `name`, nothing that looks like a path. */
export function isHubId(text: string): boolean {
  return ID.test(text) && !text.includes('..');
}

/** The parameters that every call of the hub library takes; absent ones are left out. */
function access(options: HubModelOptions): { hubUrl?: string; fetch?: typeof fetch; accessToken?: string } {
  return {
    ...(options.hubUrl === undefined ? {} : { hubUrl: options.hubUrl.replace(/\/+$/, '') }),
    ...(options.token === undefined ? {} : { accessToken: options.token }),
    fetch: (input, init) =>
      (options.fetch ?? globalThis.fetch)(input, { ...init, signal: options.signal ?? null }),
  };
}

const keyOf = (...parts: string[]): string =>
  parts.map((part) => part.replace(/[^A-Za-z0-9._-]/g, '--')).join('/');

async function fetchListing(options: HubModelOptions): Promise<Listing> {
  const { sha } = await modelInfo({
    name: options.id,
    revision: options.revision ?? 'main',
    additionalFields: ['sha'],
    ...access(options),
  });
  if (typeof sha !== 'string' || !/^[0-9a-f]{7,64}$/.test(sha)) {
    throw hubError(`The Hub names no commit for ${options.id}.`, 'Check the address of the Hub.');
  }
  const files: RemoteFile[] = [];
  for await (const entry of listFiles({ repo: options.id, revision: sha, ...access(options) })) {
    // Only the top level: the variants that some repositories keep in sub-folders are no part of the model.
    if (entry.type !== 'file' || !FILE.test(entry.path)) continue;
    const sha256 = entry.lfs?.oid ?? '';
    files.push({ path: entry.path, size: entry.size, sha256: /^[0-9a-f]{64}$/.test(sha256) ? sha256 : null });
    if (files.length > MAX_FILES)
      throw hubError(`${options.id} holds too many files.`, 'Choose another model.');
  }
  return { commit: sha, files };
}

/** The listing from the Hub; when it cannot be reached, the one of the last visit. */
async function resolveListing(options: HubModelOptions): Promise<Listing & { offline: boolean }> {
  const key = keyOf(options.id, 'refs', options.revision ?? 'main');
  try {
    const listing = await fetchListing(options);
    await options.cache.writeText(key, JSON.stringify(listing));
    return { ...listing, offline: false };
  } catch (error) {
    const stored = isConnectionError(error) ? await options.cache.readText(key) : null;
    if (stored === null) {
      throw toHubError(`${options.id} at ${options.revision ?? 'main'}`, error, options.signal);
    }
    // Our own record, written above.
    return { ...(JSON.parse(stored) as Listing), offline: true };
  }
}

/** Compares a finished download with the hash that the Hub lists; a wrong one is thrown away. */
async function verify(
  options: HubModelOptions,
  key: string,
  file: RemoteFile,
  source: ByteSource,
): Promise<void> {
  if (file.sha256 === null) return;
  const hash = new Sha256();
  for await (const chunk of sourceChunks(source)) hash.update(chunk);
  if (hash.hex() === file.sha256) return;
  await options.cache.remove(key);
  throw hubError(
    `The download of ${options.id}/${file.path} is damaged: its hash is not the one that the Hub lists.`,
    'Try again; the file is downloaded anew.',
  );
}

async function openFile(options: HubModelOptions, commit: string, file: RemoteFile): Promise<ByteSource> {
  const { id, cache } = options;
  if (file.size === 0) return bytesSource(file.path, new Uint8Array(0));
  const what = `${id}/${file.path}`;
  const doneKey = keyOf(id, 'files', commit, file.path);
  const done = await cache.readText(doneKey);
  if (done !== null && (await cache.length(done)) === file.size) return cache.source(done, file.path);
  const info = await fileDownloadInfo({
    repo: id,
    path: file.path,
    revision: commit,
    ...access(options),
  }).catch((error: unknown) => {
    throw toHubError(what, error, options.signal);
  });
  if (info === null || info.size !== file.size) {
    throw hubError(
      `${what} is not on the Hub as its listing says.`,
      'The model was changed meanwhile. Try again.',
    );
  }
  // Content with another etag gets another key, so two versions never mix.
  const key = keyOf(id, 'blobs', info.etag.replace(/^W\/|"/g, ''));
  const report = (received: number): void =>
    options.onProgress?.({ file: file.path, received, size: file.size });
  report(await cache.length(key));
  await downloadToCache({
    what,
    url: info.url,
    size: file.size,
    commit,
    key,
    cache,
    fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
    token: options.token,
    signal: options.signal,
    retryDelayMs: options.retryDelayMs ?? 500,
    onBytes: report,
  });
  const source = await cache.source(key, file.path);
  await verify(options, key, file, source);
  await cache.writeText(doneKey, key);
  return source;
}

/** Opens a model on the Hub. Nothing but the listing is fetched here. */
export async function openHubModel(options: HubModelOptions): Promise<HubModel> {
  if (!isHubId(options.id)) {
    throw hubError(`"${options.id.slice(0, 100)}" is not a Hub id.`, 'Give it as owner/name.');
  }
  if (options.token !== undefined && !/^hf_[A-Za-z0-9]+$/.test(options.token)) {
    throw hubError(
      'The access token has not the form hf_...',
      'Copy it again from the settings page of the Hub.',
    );
  }
  const { commit, files, offline } = await resolveListing(options);
  const byPath = new Map(files.map((file) => [file.path, file]));
  return {
    id: options.id,
    label: options.id,
    commit,
    offline,
    names: () => [...byPath.keys()],
    open: (name) => {
      const file = byPath.get(name);
      if (file !== undefined) return openFile(options, commit, file);
      return Promise.reject(hubError(`${options.id} has no file ${name}.`, 'Choose another model.'));
    },
  };
}
