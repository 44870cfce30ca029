/** SwiGLU, the gated activation of the Llama family (Shazeer 2020, arXiv 2002.05202). */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { checkSameShape, rowGrid } from './shapes.ts';

/** Records `silu(gate) * up`; all `[tokens, intermediate]`. */
export function swiglu(plan: PlanBuilder, gate: TensorRef, up: TensorRef): TensorRef {
  checkSameShape('swiglu', gate, up);
  const hidden = plan.tensor('swiglu', gate.rows, gate.cols);
  plan.dispatch({
    kernel: { name: 'swiglu' },
    bindings: { gate, up, hidden },
    params: { cols4: paddedCols(gate.cols) / 4 },
    grid: rowGrid(gate.rows, gate.cols),
  });
  return hidden;
}

/** Records the backward pass in place: `gate` becomes dGate, `up` becomes dUp. */
export function swigluBackward(plan: PlanBuilder, dHidden: TensorRef, gate: TensorRef, up: TensorRef): void {
  checkSameShape('swigluBackward', dHidden, gate);
  checkSameShape('swigluBackward', dHidden, up);
  plan.dispatch({
    kernel: { name: 'swiglu-backward' },
    bindings: { d_hidden: dHidden, gate, up },
    params: { cols4: paddedCols(gate.cols) / 4 },
    grid: rowGrid(gate.rows, gate.cols),
  });
}
