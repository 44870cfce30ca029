/** `lorikeet serve`: the Tinker protocol over the backend of this machine, until Ctrl-C. */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { NotFoundError } from '../api/errors.ts';
import type { SupportedModel } from '../api/types.ts';
import { createWarningSink } from '../api/warnings.ts';
import { createLocalBackend } from '../local/local-backend.ts';
import type { LocalHost } from '../local/host.ts';
import { startServer } from '../serve/server.ts';
import { onInterrupt } from './interrupt.ts';
import { createNodeHost } from './node-host.ts';
import { createReporter, type Reporter } from './progress.ts';
import type { ServeCommandOptions } from './program-serve.ts';
import { readKeyFile } from './relay.ts';
import { openModelAt, TINY, TINY_ID, tinyFolder } from './sources.ts';
import { wrongOption } from './values.ts';
import { printable } from './words.ts';

interface ServedModel {
  /** Names under which programs may ask for it; the first one is listed first. */
  names: readonly string[];
  /** What `--model` means by it. */
  source: string;
  /** Folder with its tokenizer; null for models of the Hub, whose id says where it is. */
  folder: string | null;
}

/** Clients that load the tokenizer by the model's name find it under the folder's path. */
export function servedModel(given: string): ServedModel {
  if (given === TINY || given === TINY_ID) {
    const folder = tinyFolder();
    return { names: [TINY_ID, TINY, folder], source: TINY, folder };
  }
  if (existsSync(given) && statSync(given).isDirectory()) {
    const folder = resolve(given);
    return { names: given === folder ? [folder] : [folder, given], source: folder, folder };
  }
  return { names: [given], source: given, folder: null };
}

/** The host of this machine with these models alone: a request opens no other folder and downloads nothing. */
export function serveHost(host: LocalHost, served: readonly ServedModel[], report: Reporter): LocalHost {
  const find = (name: string): ServedModel | undefined => served.find(({ names }) => names.includes(name));
  return {
    ...host,
    models: async () => {
      const all: SupportedModel[] = [];
      for (const { names, source } of served) {
        const { config } = await openModelAt(source, report);
        for (const modelName of names) all.push({ modelName, maxContextLength: config.maxPositions });
      }
      return all;
    },
    openModel: (name) => {
      const found = find(name);
      if (found !== undefined) return host.openModel(found.source);
      return Promise.reject(
        new NotFoundError({
          message: `This server does not serve ${JSON.stringify(name.slice(0, 200))}.`,
          fix: `It serves ${served.map(({ names }) => names[0]).join(', ')}; start it with --model for others.`,
        }),
      );
    },
  };
}

/** Runs the command until it is interrupted. */
export async function serve(o: ServeCommandOptions): Promise<void> {
  if (o.port > 65_535) throw wrongOption('--port', String(o.port), 'a whole number from 0 to 65535');
  const report = createReporter({ quiet: o.quiet });
  const apiKey = o.apiKeyFile === undefined ? (o.apiKey ?? null) : await readKeyFile(o.apiKeyFile);
  const served = (o.model.length === 0 ? [TINY] : o.model).map(servedModel);
  const note = (line: string): void => {
    if (!o.quiet) process.stderr.write(`${printable(line)}\n`);
  };
  const host = serveHost(createNodeHost({ device: o.device, store: o.store, report }), served, report);
  const warnings = createWarningSink(({ message }) => {
    note(`Warning: ${message}`);
  });
  const backend = createLocalBackend({ host, userMetadata: null, warnings });
  try {
    // What cannot be opened is told now, and not to the first program.
    const models = await host.models();
    await host.gpu();
    report.end();
    const server = await startServer(backend, {
      host: o.host,
      port: o.port,
      apiKey,
      allowedHosts: o.allowHost,
      allowedOrigins: o.allowOrigin,
      limits: { maxBody: o.maxBody * 2 ** 20, maxModels: o.maxModels },
      tokenizerFolder: (name) => served.find(({ names }) => names.includes(name))?.folder ?? null,
      log: note,
    });
    const names = models.map(({ modelName }) => modelName);
    process.stdout.write(
      o.json
        ? `${JSON.stringify({ url: server.url, models: names, key: apiKey !== null })}\n`
        : `Serving ${names.join(', ')} at ${server.url}.\n` +
            `Programs: TINKER_BASE_URL=${server.url} TINKER_API_KEY=${apiKey === null ? 'tml-any' : '(the key)'}. Press Ctrl+C to end it.\n`,
    );
    const interrupt = onInterrupt(() => {
      note('Ending: models are unloaded; what was not saved is lost.');
    });
    if (!interrupt.signal.aborted)
      await new Promise((done) => interrupt.signal.addEventListener('abort', done, { once: true }));
    await server.close();
    interrupt.release();
  } finally {
    await backend.close();
  }
}
