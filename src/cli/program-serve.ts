/** `lorikeet serve` with its options and help texts. */
import { Option, type Command } from 'commander';
import { MODEL, whole } from './program-options.ts';
import { withStore } from './program-training.ts';
import { collect } from './values.ts';

export interface ServeCommandOptions {
  model: string[];
  host: string;
  port: number;
  apiKey?: string;
  apiKeyFile?: string;
  /** Largest body of a request, in MiB. */
  maxBody: number;
  maxModels: number;
  allowHost: string[];
  allowOrigin: string[];
  store: string;
  device: string;
  json: boolean;
  quiet: boolean;
}

const list = (flags: string, description: string): Option =>
  new Option(flags, `${description}; can be given more than once`).argParser(collect).default([], 'none');

/** Adds the command. */
export function addServe(program: Command, run: (options: ServeCommandOptions) => Promise<void>): void {
  const command = program
    .command('serve')
    .description('Let programs of the Tinker protocol train on the GPU of this machine.')
    .addOption(
      new Option('--model <model>', `${MODEL}; can be given more than once`)
        .argParser(collect)
        .default([], 'tiny'),
    )
    .addOption(whole('--port <n>', 'where to listen; 0 takes a free port', 0, 8000))
    .addOption(new Option('--host <host>', 'address to listen on').default('127.0.0.1'))
    .addOption(
      new Option('--api-key <key>', 'what programs must send; needed where other machines can reach it').env(
        'LORIKEET_API_KEY',
      ),
    )
    .addOption(new Option('--api-key-file <file>', 'file with that key').conflicts('apiKey'))
    .addOption(whole('--max-body <mib>', 'largest body of a request', 1, 64))
    .addOption(whole('--max-models <n>', 'models in training at once', 1, 8))
    .addOption(list('--allow-host <name>', 'another name under which it may be addressed'))
    .addOption(list('--allow-origin <origin>', 'pages that may call it'))
    .option('--device <name>', 'GPU by a part of its name, as `lorikeet devices` lists it, or auto', 'auto');
  withStore(command)
    .option('--json', 'print where it listens as JSON', false)
    .option('--quiet', 'print no notes', false)
    .action(run);
}
