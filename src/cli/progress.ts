/** What people see on stderr while a command works: a bar on a terminal, plain lines elsewhere. */

export interface ReporterOptions {
  quiet: boolean;
}

/** The part of a stream that is needed. */
export interface Terminal {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export interface Reporter {
  /** A line that stays. */
  note(text: string): void;
  /** How far something is; `detail` follows the label. */
  progress(label: string, done: number, total: number, detail?: string): void;
  /** Ends the bar, so that what follows starts on a line of its own. */
  end(): void;
}

/** Milliseconds between two plain lines, and between two drawings of the bar. */
const LINE_PAUSE = 2000;
const DRAW_PAUSE = 50;
const BAR_CELLS = 24;

/** The bar as one line of at most `columns` characters. */
export function barLine(label: string, share: number, detail: string, columns: number): string {
  const cells = Math.round(Math.min(1, Math.max(0, share)) * BAR_CELLS);
  const bar = `[${'#'.repeat(cells)}${'-'.repeat(BAR_CELLS - cells)}]`;
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  return `${label} ${bar}${percent}  ${detail}`.trimEnd().slice(0, Math.max(20, columns - 1));
}

/** Reports to a terminal or a file. */
export function createReporter(
  { quiet }: ReporterOptions,
  terminal: Terminal = process.stderr,
  now: () => number = () => performance.now(),
): Reporter {
  if (quiet) return { note: () => undefined, progress: () => undefined, end: () => undefined };
  const live = terminal.isTTY === true;
  let drawn = false;
  let last = { label: '', time: -Infinity };
  const clear = (): void => {
    if (drawn) terminal.write('\r\u001b[K');
    drawn = false;
  };
  const end = (): void => {
    if (drawn) terminal.write('\n');
    drawn = false;
  };
  return {
    note: (text) => {
      clear();
      terminal.write(`${text}\n`);
    },
    progress: (label, done, total, detail = '') => {
      const time = now();
      const fresh = label !== last.label;
      const due = time - last.time >= (live ? DRAW_PAUSE : LINE_PAUSE);
      if (!fresh && !due && done < total) return;
      last = { label, time };
      const share = total > 0 ? done / total : 1;
      if (!live) {
        terminal.write(`${label} ${Math.floor(share * 100)}%${detail === '' ? '' : `  ${detail}`}\n`);
        return;
      }
      if (fresh) end();
      clear();
      terminal.write(barLine(label, share, detail, terminal.columns || 80));
      drawn = true;
      if (done >= total) end();
    },
    end,
  };
}
