/** Runs one command line: errors become lines on stderr and exit codes. */
import { CommanderError } from 'commander';
import { StudioError, toErrorFields, type ErrorFields } from '../errors.ts';
import { buildProgram, type Commands } from './program.ts';

/** Done; failed; wrong usage. */
export type ExitCode = 0 | 1 | 2;

/** One line for people and scripts: `lorikeet: CODE: what is wrong. What to do.` */
export function errorLine({ code, message, fix }: ErrorFields): string {
  const fact = message.replaceAll(/\s+/g, ' ').trim();
  return `lorikeet: ${code}: ${/[.!?]$/.test(fact) ? fact : `${fact}.`} ${fix}`;
}

const COMMANDS = [
  'finetune',
  'verify-resume',
  'generate',
  'evaluate',
  'inspect',
  'devices',
  'relay',
  'serve',
  'example',
  'checkpoints',
];

/** What commander has to say about a wrong command line, in our form; null for help and version, which are no errors. */
function usageError(error: CommanderError, argv: readonly string[]): StudioError | null {
  if (error.exitCode === 0) return null;
  const command = argv.find((word) => COMMANDS.includes(word));
  const missing = error.code === 'commander.help';
  return new StudioError({
    code: 'OPTION_INVALID',
    message: missing ? 'No command is given.' : sentence(error.message),
    fix: `Run \`lorikeet ${missing || command === undefined ? '' : `${command} `}--help\` for what there is.`,
  });
}

function sentence(message: string): string {
  const text = message.replace(/^error: /, '').replaceAll(/\s+/g, ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Where text goes. */
export interface Output {
  out: (text: string) => void;
  err: (text: string) => void;
}

const STANDARD: Output = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};

/** Runs the command that `argv` names, and gives the exit code. */
export async function runCli(
  argv: readonly string[],
  version: string,
  commands: Commands,
  output: Output = STANDARD,
): Promise<ExitCode> {
  try {
    await buildProgram(version, commands, output.out).parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (thrown) {
    const error = thrown instanceof CommanderError ? usageError(thrown, argv) : thrown;
    if (error === null) return 0;
    const fields = toErrorFields(error);
    output.err(`${errorLine(fields)}\n`);
    return fields.code === 'OPTION_INVALID' ? 2 : 1;
  }
}
