/**
 * Bounds of the wire protocol, version 1. Both sides check them; past one there is a typed error at once.
 *
 * @module
 */

/** Bounds of the wire protocol, each with its unit in its name and its reason beside it. */
export const WIRE_LIMITS = {
  /** A frame's body, either way, in bytes: a result has to fit as well, so that no side buffers more. */
  frameBytesMax: 10 * 1024 * 1024,
  /** Nesting of a frame's JSON: a million levels would cost the parser half a second. */
  nestingMax: 64,
  /** One statement's SQL text, in UTF-8 bytes. */
  sqlBytesMax: 100_000,
  /** Parameters of one statement. */
  parametersMax: 999,
  /** Statements of one batch: what 10 MiB of the shortest statements come to, rounded. */
  statementsMax: 100_000,
  /** A request's `id`, when it is a text, in UTF-16 units. */
  idLengthMax: 64,
  /** A `client` and a `key`, in UTF-16 units. */
  nameLengthMax: 64,
  /**
   * An error's message, and its hint, in UTF-16 units; what is longer is cut. JSON makes up to six times as much of it, and an
   * answer, a log line and a session's row hold it.
   */
  errorTextMax: 2_048,
  /** How far a `seq` may be beyond its `acked`: answers in between are kept for a repetition. */
  unackedMax: 2_048,
  /** Longest `timeout_ms`: one day. */
  timeoutMsMax: 86_400_000,
} as const;
