/** The files of the chosen model, wherever they are: beside the page, on the person's disk, on the Hub. */
import { blobFileSet, commonFolder, type FileSet, withoutCommonFolder } from '../src/formats/file-set.ts';
import { browserHubCache } from '../src/hub/browser-cache.ts';
import { openHubModel } from '../src/hub/hub-model.ts';
import type { ModelChoice, Progress } from './api.ts';
import { fetchBlob } from './assets.ts';

export const EMBEDDED = {
  id: 'lorikeet-tiny',
  files: [
    'config.json',
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'chat_template.jinja',
    'model.safetensors',
  ],
  /** Near enough for a progress bar: what a server sends compressed does not tell its size. */
  bytes: 6_570_000,
} as const;

export interface ModelFiles {
  files: FileSet;
  /** What the adapter names as its base model. */
  id: string;
  /** The commit on the Hub; null elsewhere. */
  revision: string | null;
}

/** Opens the files of a model. Of the Hub's only the listing is fetched here; the rest comes as it is read, until the signal. */
export async function openModelFiles(
  choice: ModelChoice,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
  home?: URL,
): Promise<ModelFiles> {
  switch (choice.kind) {
    case 'embedded':
      return { files: await fetchEmbedded(onProgress, home), id: EMBEDDED.id, revision: null };
    case 'files': {
      const paths = choice.files.map(({ path }) => path);
      const id = commonFolder(paths).slice(0, -1) || 'local-model';
      const files = choice.files.map(({ path, file }) => ({ path, blob: file }));
      return { files: withoutCommonFolder(blobFileSet(id, files)), id, revision: null };
    }
    case 'hub': {
      const model = await openHubModel({
        id: choice.id,
        cache: browserHubCache(),
        signal,
        ...(choice.revision !== undefined && { revision: choice.revision }),
        ...(choice.hubUrl !== undefined && { hubUrl: choice.hubUrl }),
        onProgress: ({ file, received, size }) => onProgress({ label: file, done: received, total: size }),
      });
      return { files: model, id: choice.id, revision: model.commit };
    }
    default:
      return choice satisfies never;
  }
}

async function fetchEmbedded(onProgress: (progress: Progress) => void, home?: URL): Promise<FileSet> {
  const received = new Map<string, number>();
  const fetched = EMBEDDED.files.map(async (path) => {
    const onBytes = (bytes: number): void => {
      received.set(path, bytes);
      const done = [...received.values()].reduce((sum, part) => sum + part, 0);
      onProgress({ label: EMBEDDED.id, done: Math.min(done, EMBEDDED.bytes), total: EMBEDDED.bytes });
    };
    const blob = await fetchBlob(`models/${EMBEDDED.id}/${path}`, onBytes, home);
    return { path, blob };
  });
  return blobFileSet(EMBEDDED.id, await Promise.all(fetched));
}
