/** The entry of the command line's build. */
import { version } from '../../package.json';
import { checkpointCommands } from './checkpoints/commands.ts';
import { devices } from './devices.ts';
import { evaluate } from './evaluate.ts';
import { exampleCommands } from './example.ts';
import { finetune } from './finetune.ts';
import { generate } from './generate.ts';
import { inspect } from './inspect.ts';
import { relay } from './relay.ts';
import { runCli } from './run-cli.ts';
import { serve } from './serve.ts';
import { verifyResume } from './verify-resume.ts';

// `lorikeet inspect ... | head` closes the pipe early, which is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), version, {
  finetune,
  generate,
  evaluate,
  inspect,
  devices,
  relay,
  serve,
  verifyResume,
  examples: exampleCommands,
  checkpoints: checkpointCommands,
});
