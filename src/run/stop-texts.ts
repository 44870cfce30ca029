/** Holds back what may be the beginning of a stop text, and cuts exactly before one. */

export interface AnswerPiece {
  /** The text that this token completes. */
  text: string;
  id: number;
  /** Log-probability of the token under the model. */
  logprob: number;
}

export class StopTexts {
  readonly #stops: readonly string[];
  /** Tokens whose text is not let go yet. */
  #queue: AnswerPiece[] = [];
  #stopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** Whether a stop text was found: everything before it has come out. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes a token and gives those that are certain now. */
  *push(piece: AnswerPiece): Generator<AnswerPiece, void, undefined> {
    this.#queue.push(piece);
    const text = this.#text();
    const cut = this.#firstStop(text);
    if (cut !== undefined) {
      this.#stopped = true;
      yield* this.#release(cut, true);
      this.#queue = [];
    } else {
      yield* this.#release(text.length - this.#heldBack(text), false);
    }
  }

  /** Gives the rest; `tail` is what the decoder still had. */
  *finish(tail: string): Generator<AnswerPiece, void, undefined> {
    const last = this.#queue.at(-1);
    if (last) last.text += tail;
    yield* this.#queue;
    this.#queue = [];
  }

  #text(): string {
    return this.#queue.map(({ text }) => text).join('');
  }

  #firstStop(text: string): number | undefined {
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    return found.length > 0 ? Math.min(...found) : undefined;
  }

  /** Length of the longest end of the text with which a stop text begins. */
  #heldBack(text: string): number {
    let most = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > most; length--)
        if (text.endsWith(stop.slice(0, length))) most = length;
    }
    return most;
  }

  /** Lets go the tokens that lie within the first `length` characters, with `cut` the part of the last one too. */
  *#release(length: number, cut: boolean): Generator<AnswerPiece, void, undefined> {
    let left = length;
    for (let piece = this.#queue[0]; piece !== undefined; piece = this.#queue[0]) {
      const whole = piece.text.length <= left;
      // A token without text waits for the next: what the decoder still holds of it may follow at the end.
      const mute = this.#queue.every(({ text }) => text === '');
      if (mute || (cut ? left === 0 : !whole)) return;
      this.#queue.shift();
      yield whole ? piece : { ...piece, text: piece.text.slice(0, left) };
      left -= Math.min(left, piece.text.length);
    }
  }
}
