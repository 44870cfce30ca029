/**
 * Fine-tuning, then direct preference optimisation on this machine's GPU. The loops are src/recipes/sft.ts and dpo.ts,
 * rows and pairs are in src/recipes/examples/sft-then-dpo.ts.
 *
 * node examples/sft-then-dpo.ts [dpoEpochs] [seed] [sftEpochs] (Node 22.18 or newer, after `npm run build lib`)
 * npx lorikeet example dpo                         (any Node that Lorikeet runs on)
 */
import { ServiceClient } from 'lorikeet';
import { runDpoExample } from 'lorikeet/recipes';

const [dpoEpochs = 3, seed = 0, sftEpochs = 6] = process.argv.slice(2).map(Number);
const service = new ServiceClient({ backend: 'local' });
const result = await runDpoExample({
  service,
  sftEpochs,
  dpoEpochs,
  seed,
  onProgress: (progress) => {
    const figure =
      progress.phase === 'measure'
        ? `share of liked answers ${progress.likedShare.toFixed(3)}`
        : `loss ${progress.loss.toFixed(4)}`;
    process.stderr.write(`${progress.phase} ${String(progress.done)}/${String(progress.total)}: ${figure}\n`);
  },
});
process.stdout.write(`${JSON.stringify(result)}\n`);
await service.close();
