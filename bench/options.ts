/** The benchmark's command line. */

export const PART_NAMES = [
  'probe',
  'gemm',
  'step',
  'profile',
  'memory',
  'generate',
  'checkpoints',
  'pipelining',
  'peers',
] as const;
export type PartName = (typeof PART_NAMES)[number];

export interface Options {
  parts: PartName[];
  quick: boolean;
  json: string | null;
  model: string | null;
  help: boolean;
}

export const USAGE = `npm run bench -- [PART ...] [options]

  PART            ${PART_NAMES.join(', ')}; all but peers by default
  --only A,B      the same as naming the parts
  --quick         fewer rounds and shapes
  --json FILE     also write the results there
  --model DIR     a SmolLM2-135M folder for the memory part, instead of random weights of that shape
  --driver NAME   hardware, lavapipe or swiftshader`;

/** Reads the arguments. Throws on what it does not know. */
export function parseOptions(args: readonly string[]): Options {
  const options: Options = { parts: [], quick: false, json: null, model: null, help: false };
  const rest = [...args];
  const value = (name: string): string => {
    const next = rest.shift();
    if (next === undefined) throw new Error(`${name} needs a value.`);
    return next;
  };
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--quick') options.quick = true;
    else if (arg === '--help') options.help = true;
    else if (arg === '--json') options.json = value(arg);
    else if (arg === '--model') options.model = value(arg);
    else
      for (const name of (arg === '--only' ? value(arg) : arg).split(','))
        options.parts.push(partNamed(name));
  }
  if (options.parts.length === 0) options.parts = PART_NAMES.filter((name) => name !== 'peers');
  return options;
}

function partNamed(name: string): PartName {
  const found = PART_NAMES.find((part) => part === name);
  if (!found) throw new Error(`There is no part named ${name}. Parts: ${PART_NAMES.join(', ')}.`);
  return found;
}
