/** One LoRA training step in JavaScript's WebGPU libraries, in PyTorch on the CPU, and here: same weights, same run. */
import type { Context } from './context.ts';
import { readWorkload } from './peer-data.ts';
import { startOurs, type OurRun } from './peer-ours.ts';
import {
  preparePeers,
  runPeer,
  runTorch,
  WORKLOAD_FOLDER,
  type Layout,
  type PeerName,
} from './peer-programs.ts';
import { probeSubject } from './probe.ts';
import { fixed, megabytes, percent, table } from './table.ts';
import { summarise, takeTurns, type Timing } from './timing.ts';

const STEPS = 7;

interface Contender {
  timing: Timing;
  peakBytes: number | null;
  lossDifferences: number[];
}

interface PeerResult {
  tokens: number;
  probeRate: number;
  ours: Contender;
  peers: Contender[];
}

/** Times everybody at one length. We go before and after each peer, so that drift hits all. */
async function race(context: Context, ours: OurRun, tokens: number, flops: number): Promise<PeerResult> {
  const { quick, print } = context;
  const probe = await probeSubject(context.device);
  const rates: number[] = [];
  const samples: number[] = [];
  const ourTurn = async (): Promise<void> => {
    const [timing] = await takeTurns([probe], 5);
    rates.push(timing?.bestRate ?? NaN);
    samples.push(...(await ours.time(STEPS)));
  };
  await ourTurn();
  const peers: Contender[] = [];
  const entries: [PeerName, Layout][] = quick
    ? [
        ['jax', 'io'],
        ['tfjs', 'oi'],
      ]
    : [
        ['jax', 'io'],
        ['tfjs', 'io'],
        ['jax', 'oi'],
        ['tfjs', 'oi'],
      ];
  for (const [name, layout] of entries) {
    const run = await runPeer(name, layout, tokens, STEPS);
    const timing = summarise(`${run.peer} ${run.version}, weights ${layout}`, flops, run.all_ms);
    print(`${timing.name}, ${tokens} tokens: ${fixed(timing.median)} ms`);
    peers.push({ timing, peakBytes: run.peak_bytes, lossDifferences: run.rel_loss_steps });
    await ourTurn();
  }
  const torch = await runTorch(tokens, STEPS);
  const torchTiming = summarise(`PyTorch ${torch.version} on the CPU`, flops, torch.all_ms);
  peers.push({ timing: torchTiming, peakBytes: null, lossDifferences: [] });
  const timing = summarise('Lorikeet', flops, samples);
  const { peakBytes, lossDifferences } = ours;
  return { tokens, probeRate: Math.max(...rates), ours: { timing, peakBytes, lossDifferences }, peers };
}

function rowsOf({ tokens, probeRate, ours, peers }: PeerResult): string[][] {
  return [ours, ...peers].map((entry) => {
    const { timing, peakBytes } = entry;
    const faster = timing.median / ours.timing.median;
    const memory = peakBytes === null || ours.peakBytes === null ? null : ours.peakBytes / peakBytes;
    return [
      timing.name,
      String(tokens),
      `${fixed(timing.best)} (${fixed(timing.median)})`,
      fixed(timing.bestRate),
      percent(timing.bestRate / probeRate),
      peakBytes === null ? '-' : megabytes(peakBytes),
      entry === ours ? '' : `${fixed(timing.best / ours.timing.best, 2)} (${fixed(faster, 2)})`,
      entry === ours ? '' : fixed(memory, 2),
    ];
  });
}

/** Runs the race at both lengths, or says why it is left out. */
export async function peersPart(context: Context): Promise<unknown> {
  const { print } = context;
  const reason = await preparePeers(print);
  if (reason !== null) {
    print(`SKIPPED: ${reason}.`);
    return { skipped: reason };
  }
  const workload = await readWorkload(WORKLOAD_FOLDER);
  const results: PeerResult[] = [];
  for (const tokens of context.quick ? [128] : [64, 128]) {
    const ours = await startOurs(context, workload, tokens);
    const worst = Math.max(...ours.lossDifferences);
    print(`${tokens} tokens: our losses are within ${worst.toExponential(1)} of PyTorch's`);
    const flops = tokens * (workload.manifest.flop_per_token[String(tokens)] ?? NaN);
    results.push(await race(context, ours, tokens, flops));
    ours.dispose();
  }
  const header = ['best (median)', 'tokens', 'ms per step', 'GFLOP/s', 'of probe', 'peak GPU MB'];
  print(table([...header, 'ours is faster', 'our memory / theirs'], results.flatMap(rowsOf)));
  return results;
}
