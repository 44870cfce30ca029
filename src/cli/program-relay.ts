/** `lorikeet relay` with its options and help texts. */
import { Option, type Command } from 'commander';
import { whole } from './program-options.ts';

export interface RelayCommandOptions {
  target: string;
  host: string;
  port: number;
  allowOrigin: string;
  /** File that holds the key; else the environment's TINKER_API_KEY is taken. */
  apiKeyFile?: string;
  /** Largest body of a request, in MiB. */
  maxBody: number;
  /** Allows a host that other machines can reach. */
  expose: boolean;
  json: boolean;
  quiet: boolean;
}

/** Adds the command. The defaults are those of src/relay. */
export function addRelay(program: Command, run: (options: RelayCommandOptions) => Promise<void>): void {
  program
    .command('relay')
    .description('Stand between pages of one origin and a training server, and keep its key out of the page.')
    .requiredOption('--target <url>', 'the server, such as http://gpu-box:8000')
    .addOption(whole('--port <n>', 'where to listen; 0 takes a free port', 0, 8788))
    .addOption(new Option('--host <host>', 'address to listen on').default('127.0.0.1'))
    .option('--expose', 'allow a --host that other machines can reach', false)
    .addOption(
      new Option('--allow-origin <origin>', 'where pages may come from').default('http://127.0.0.1:4173'),
    )
    .addOption(
      new Option(
        '--api-key-file <file>',
        "file with the server's key; else TINKER_API_KEY, else the page's own",
      ),
    )
    .addOption(whole('--max-body <mib>', 'largest body of a request', 1, 256))
    .option('--json', 'print where it listens as JSON', false)
    .option('--quiet', 'print no requests that were refused or failed', false)
    .action(run);
}
