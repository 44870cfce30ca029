/**
 * Decides which activations share memory. WebGPU forbids reading and writing one buffer in one dispatch, whatever the
 * ranges, so the arena is a set of slots (one buffer each) and tensors that never live together share a slot.
 */

/** A tensor's life: the first and the last step that touches it, both inclusive. */
export interface Interval {
  bytes: number;
  first: number;
  last: number;
}

/** Assigns intervals to slots in order of birth: the free slot that fits best, else the largest free one grown, else a new one. */
export function planSlots(intervals: readonly Interval[]): { slots: number[]; slotOf: number[] } {
  const order = intervals
    .map((_, index) => index)
    .sort((a, b) => birth(a) - birth(b) || size(b) - size(a) || a - b);
  const slots: { bytes: number; busyUntil: number }[] = [];
  const slotOf: number[] = Array.from({ length: intervals.length }, () => -1);
  for (const index of order) {
    const interval = intervals[index];
    if (!interval) continue;
    let best = -1;
    slots.forEach((slot, candidate) => {
      if (slot.busyUntil >= interval.first) return;
      const current = slots[best];
      if (!current || better(slot.bytes, current.bytes, interval.bytes)) best = candidate;
    });
    if (best < 0) {
      slots.push({ bytes: 0, busyUntil: -1 });
      best = slots.length - 1;
    }
    const slot = slots[best];
    if (!slot) continue;
    slot.bytes = Math.max(slot.bytes, interval.bytes);
    slot.busyUntil = interval.last;
    slotOf[index] = best;
  }
  return { slots: slots.map((slot) => slot.bytes), slotOf };

  function birth(index: number): number {
    return intervals[index]?.first ?? 0;
  }
  function size(index: number): number {
    return intervals[index]?.bytes ?? 0;
  }
}

/** Whether a slot of `a` bytes suits a need better than one of `b`: fitting beats growing, then the least waste. */
function better(a: number, b: number, need: number): boolean {
  const fitsA = a >= need;
  const fitsB = b >= need;
  if (fitsA !== fitsB) return fitsA;
  return fitsA ? a < b : a > b;
}
