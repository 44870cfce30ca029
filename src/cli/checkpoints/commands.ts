/** What `lorikeet checkpoints ...` does: each command opens the folder, does one thing, prints it. */
import { changeCommands } from './change.ts';
import { clearCommands } from './clear.ts';
import { lookCommands } from './look.ts';
import { moveCommands } from './move.ts';
import type { CheckpointCommands } from './program.ts';

export const checkpointCommands: CheckpointCommands = {
  ...lookCommands,
  ...changeCommands,
  ...clearCommands,
  ...moveCommands,
};
