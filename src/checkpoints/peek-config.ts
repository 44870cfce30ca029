/** What the config of an adapter says, read without any claim that the adapter is sound: for one that was refused. */
import { StudioError } from '../errors.ts';
import type { ByteSource } from '../formats/bytes.ts';
import { readText, withoutCommonFolder, type FileSet } from '../formats/file-set.ts';
import { gunzip, sniffContainer } from '../formats/gzip.ts';
import { withLayout } from '../formats/import-layout.ts';
import { ADAPTER_CONFIG, MAX_CONFIG_BYTES } from '../formats/peft-read.ts';
import { PieceReader } from '../formats/piece-reader.ts';
import { sourceChunks } from '../formats/streams.ts';
import { decodeUtf8, isJsonObject, parseStrictObject } from '../formats/strict-json.ts';
import { readTar } from '../formats/tar-read.ts';
import type { PeekAbout } from './peek.ts';

const MAX_BYTES = 4 * 2 ** 30;

async function configOfArchive(source: ByteSource): Promise<string | null> {
  const kind = sniffContainer(await source.read(0, Math.min(512, source.size)));
  const chunks = kind === 'tar' ? sourceChunks(source) : gunzip(source.name, sourceChunks(source), MAX_BYTES);
  const limits = { maxFileBytes: MAX_BYTES, maxTotalBytes: MAX_BYTES };
  for await (const { path, size, content } of readTar(source.name, chunks, limits)) {
    if (path.split('/').at(-1) !== ADAPTER_CONFIG || size > MAX_CONFIG_BYTES) continue;
    const ended = (): StudioError =>
      new StudioError({ code: 'ARCHIVE_INVALID', message: `${path} ends too early.`, fix: 'Get it again.' });
    return decodeUtf8(await new PieceReader(content, ended).take(size, path), path);
  }
  return null;
}

async function configOfFolder(given: FileSet): Promise<string | null> {
  const files = withLayout(withoutCommonFolder(given));
  return files.names().includes(ADAPTER_CONFIG) ? readText(files, ADAPTER_CONFIG, MAX_CONFIG_BYTES) : null;
}

/** Base model, rank and so on of an adapter that could not be read; null where there is no config to read. */
export async function aboutFromConfig(input: FileSet | ByteSource): Promise<PeekAbout | null> {
  try {
    const text = 'names' in input ? await configOfFolder(input) : await configOfArchive(input);
    if (text === null) return null;
    const config = parseStrictObject(text, { what: ADAPTER_CONFIG });
    const mlx = isJsonObject(config['lora_parameters']) ? config['lora_parameters'] : null;
    const number = (value: unknown): number | null => (typeof value === 'number' ? value : null);
    const base = config['base_model_name_or_path'] ?? config['model'];
    const targets = config['target_modules'];
    return {
      source: mlx === null ? 'peft' : 'mlx',
      baseModel: typeof base === 'string' ? base.slice(0, 200) : null,
      rank: number(config['r'] ?? mlx?.['rank']),
      alpha: number(config['lora_alpha']),
      targets: (Array.isArray(targets) ? targets : [targets]).flatMap((target) =>
        typeof target === 'string' ? [target.slice(0, 200)] : [],
      ),
      step: null,
      steps: null,
      hasState: false,
      bytes: null,
      files: null,
      fits: null,
    };
  } catch (error) {
    // The adapter's own error is the one that is shown.
    if (error instanceof StudioError) return null;
    throw error;
  }
}
