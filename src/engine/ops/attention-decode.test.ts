import { attentionReference } from '../reference/attention.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { attention, attentionDecode } from './attention.ts';

useGpu();

for (const { heads, kvHeads, headDim, window, texts } of [
  { heads: 6, kvHeads: 2, headDim: 16, window: null, texts: 5 },
  { heads: 4, kvHeads: 4, headDim: 8, window: 4, texts: 3 },
  { heads: 9, kvHeads: 3, headDim: 64, window: null, texts: 1 },
]) {
  gpuTest(
    `attentionDecode: ${texts} texts side by side, ${heads} heads of ${kvHeads}, window ${window}`,
    async (bench) => {
      const [maxLen, unused] = [41, 2];
      const shape = { heads, kvHeads, headDim, scale: 0.25, window };
      const rows = texts + unused;
      const all = (texts + unused) * maxLen;
      const q = randomValues(1, rows * heads * headDim);
      // Rows that no text has come to yet hold what would be seen at once in a sum.
      const past = Array.from({ length: texts }, (_, text) => (23 + text * 17) % 40);
      const reached = (row: number): boolean => row % maxLen <= (past[Math.floor(row / maxLen)] ?? -1);
      const width = kvHeads * headDim;
      const masked = (values: Float32Array): Float32Array =>
        values.map((value, i) => (reached(Math.floor(i / width)) ? value : 1e30));
      const k = masked(randomValues(2, all * width));
      const v = masked(randomValues(3, all * width));
      const starts = Array.from({ length: rows }, (_, text) => (text < texts ? text * maxLen : 0));
      const places = starts.map((start, text) => start + (past[text] ?? 0));
      const { out, lse } = attentionDecode(
        bench.plan,
        {
          q: bench.matrix('q', rows, heads * headDim, q),
          k: bench.matrix('k', all, width, k),
          v: bench.matrix('v', all, width, v),
          segStart: bench.words('segStart', Uint32Array.from(starts)),
          cacheRows: bench.words('cacheRows', Uint32Array.from(places)),
        },
        shape,
      );
      // The first text as one that is decoded alone.
      const alone = attention(
        bench.plan,
        bench.matrix('q1', rows, heads * headDim, q),
        bench.matrix('k1', maxLen, width, k.slice(0, maxLen * width)),
        bench.matrix('v1', maxLen, width, v.slice(0, maxLen * width)),
        bench.words('segStart1', new Uint32Array(rows)),
        { ...shape, cached: true, subgroups: false },
      );
      const [got = [], gotLse = [], single = []] = await bench.run([out, lse, alone.out], {
        tokens: texts,
        keyOffset: past[0] ?? 0,
      });
      const visible = starts
        .slice(0, texts)
        .map((start, text): [number, number] => [
          Math.max(start, window === null ? 0 : (places[text] ?? 0) - window + 1),
          places[text] ?? 0,
        ]);
      const want = attentionReference(q, k, v, visible, shape);
      expectClose(got.slice(0, texts * heads * headDim), want.out);
      expectClose(gotLse.slice(0, texts * heads), want.lse);
      expectClose(got.slice(0, heads * headDim), single.slice(0, heads * headDim), {
        absolute: 0,
        relative: 0,
      });
    },
  );
}
