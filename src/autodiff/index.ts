/** A small reverse-mode tape for custom losses (`lorikeet/autodiff`). */
export { backward, isDiffArray, leaf, type DiffArray, type DiffInput } from './tape.ts';
export {
  abs,
  add,
  clamp,
  concat,
  div,
  exp,
  index,
  log,
  logsigmoid,
  max,
  mean,
  min,
  mul,
  neg,
  sigmoid,
  square,
  stopGradient,
  sub,
  sum,
  where,
} from './operations.ts';
export { elastic, entropy, gradientNorm, kl, l1, l2 } from './regularizers.ts';
