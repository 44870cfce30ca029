/**
 * Reinforcement learning on this machine's GPU: stories are rewarded for how they begin. The loop is src/recipes/rl.ts,
 * the reward and the prompts are in src/recipes/examples/rl-form.ts.
 *
 * node examples/rl-form.ts [iterations] [seed]     (Node 22.18 or newer, after `npm run build lib`)
 * npx lorikeet example rl                          (any Node that Lorikeet runs on)
 */
import { ServiceClient } from 'lorikeet';
import { runRlExample } from 'lorikeet/recipes';

const [iterations = 10, seed = 0] = process.argv.slice(2).map(Number);
const service = new ServiceClient({ backend: 'local' });
const result = await runRlExample({
  service,
  iterations,
  seed,
  onProgress: ({ phase, done, total, meanReward }) => {
    process.stderr.write(`${phase} ${String(done)}/${String(total)}: mean reward ${meanReward.toFixed(3)}\n`);
  },
});
process.stdout.write(`${JSON.stringify(result)}\n`);
await service.close();
