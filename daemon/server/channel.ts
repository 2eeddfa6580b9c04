/**
 * What a connection is made of, whichever way the system has: bytes both ways, and an acceptor that they come from.
 *
 * @module
 */

/** The bytes of one connection. */
export interface Channel {
  /** How much the system has taken of what was written, in bytes. */
  readonly takenBytes: number;
  /**
   * What arrives next, a piece at a time; `null` at the peer's end. `reuse`: the piece before is not needed any more, so
   * that its memory may be read into. One call at a time.
   *
   * @throws when the connection is broken, or was destroyed.
   */
  read(reuse: boolean): Promise<Uint8Array | null>;
  /**
   * Sends all of it; settles when the system has it. One call at a time.
   *
   * @throws when the connection is broken, or was destroyed.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes it, at once where nothing has to be waited for; what was sent still reaches the peer. */
  end(): void | Promise<void>;
  /** Closes it at once. */
  destroy(): void;
}

/** What an acceptor tells. */
export interface AcceptorEvents {
  /** A connection came. */
  accepted(channel: Channel): void;
  /** Accepting failed; it goes on after a pause. */
  failed(error: unknown): void;
  /** It cannot go on while there are connections. */
  blocked(): void;
}

/** Accepts connections until it is closed. */
export interface Acceptor {
  /** Whether its name still leads to it. */
  readonly isThere: boolean;
  /** Takes its name away, so that it is found no more. Nothing where it cannot be taken away, or leads to another's. */
  hide(): void;
  /** Accepts no more. */
  close(): void;
}
