/** npm run bench: measures the engine on the adapter at hand. Figures are shares of the adapter's own peak. */
import { countBuffers } from './buffer-count.ts';
import { checkpointsPart } from './checkpoints.ts';
import type { Context, Part } from './context.ts';
import { gemmPart } from './gemm.ts';
import { generatePart } from './generate.ts';
import { commandLine, cpuMilliseconds, leave, machine, openDevice, printLine, writeText } from './host.ts';
import { memoryPart } from './memory.ts';
import { parseOptions, USAGE, type PartName } from './options.ts';
import { peersPart } from './peers.ts';
import { pipeliningPart } from './pipelining.ts';
import { probePart } from './probe.ts';
import { profilePart } from './profile.ts';
import { stepPart } from './step.ts';

const PARTS: Readonly<Record<PartName, Part>> = {
  probe: probePart,
  gemm: gemmPart,
  step: stepPart,
  profile: profilePart,
  memory: memoryPart,
  generate: generatePart,
  checkpoints: checkpointsPart,
  pipelining: pipeliningPart,
  peers: peersPart,
};

async function main(): Promise<void> {
  const options = parseOptions(commandLine());
  if (options.help) return printLine(USAGE);
  const { device, adapter, software } = await openDevice();
  const context: Context = {
    device,
    adapter,
    buffers: countBuffers(device),
    cpuClock: software ? cpuMilliseconds : null,
    quick: options.quick,
    model: options.model,
    print: printLine,
  };
  const results: Record<string, unknown> = { adapter, machine: machine(), quick: options.quick };
  printLine(`Adapter: ${adapter}`);
  for (const name of options.parts) {
    printLine(`\n${name}`);
    results[name] = await PARTS[name](context);
  }
  if (options.json !== null) await writeText(options.json, `${JSON.stringify(results, null, 1)}\n`);
}

try {
  await main();
  leave(0);
} catch (error) {
  printLine(`npm run bench: ${error instanceof Error ? error.message : String(error)}`);
  leave(1);
}
