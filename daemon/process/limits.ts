/**
 * Bounds of the daemon, each with its unit in its name and its reason beside it. Those of the wire stand in
 * `client/limits.ts`.
 *
 * @module
 */

/** Bounds of the daemon. */
export const LIMITS = {
  // Connections
  /** Connections of one endpoint. At its 255th client a Windows pipe's listener stops for ever; see the next two. */
  connectionsMax: 240,
  /**
   * Further ones, for commands: where all are taken the oldest makes room, and one that sends nothing goes after `silentMs`. So
   * `status` and `shutdown` come in whoever has the others.
   */
  connectionsKept: { max: 4, silentMs: 1_000 },
  /** How long a listener whose accepting failed waits before it goes on; the least if it had worked for a while. */
  acceptPauseMs: { min: 20, max: 1_000, settledAfter: 5_000 },
  /** Connections that may at once be told that they are too many; more are closed without a word. 4 are room for races. */
  connectionsRefusedMax: 6,
  /** From so many on, those that never sent anything make room, the longest silent first. */
  connectionsCrowded: 200,
  /**
   * Room for what a connection sends, which one that is silent keeps: `min` bytes, and `factor` times as many after a read
   * that filled it. As many as `spareMax` are kept for connections to come.
   */
  readBytes: { min: 8 * 1024, max: 64 * 1024, factor: 4, spareMax: 16 },
  /**
   * Answers up to so many UTF-16 units are strings, and so are as many of several that wait to be sent; all else is in blocks. So
   * much of an answer is kept for its repetition, which is a string too.
   */
  shortUnitsMax: 64 * 1024,
  /** The blocks that long answers are made of: a Unix socket takes one at once. As many as `spareMax` are kept for the next. */
  blocks: { bytes: 128 * 1024, spareMax: 128 },
  /** Requests of one connection that wait for their answers; past it the connection is not read further. */
  connectionRequestsMax: 1_024,
  /** Bytes of these requests, and separately of answers that the client does not fetch. */
  connectionBytesMax: 4 * 1024 * 1024,
  /**
   * Requests that wait for their answers, of all connections together, of which each takes up to 6 KB, and their bytes, of which
   * each takes up to 2. Past it who has some is not read further, and requests over `longBytes` are refused.
   */
  waitingMax: { requests: 4_096, bytes: 48 * 1024 * 1024, longBytes: 64 * 1024 },
  /**
   * A request of so many bytes is read in pieces, for `pieceMs` at a time; pieces are so many bytes or UTF-16 units, some ms of
   * the worst, or so many statements.
   */
  longRequest: { bytes: 512 * 1024, pieceUnits: 64 * 1024, pieceStatements: 1_000, pieceMs: 4 },
  /** A connection whose requests held the loop for so long, in ms, is read further when others had their turn. */
  handleMs: 2,
  /**
   * Bytes of answers that clients do not fetch, of all connections together. Past `bytes` who has some begins nothing more, and is
   * cut if it has fetched nothing at the last `looks` looks, who has most first. Past `waitBytes` no query begins that takes long,
   * and two looks are enough; past `bytesMax` there is no time to look. A process has 300 MB at most: 45 without any, and what is
   * being made comes to 80 a database.
   */
  unread: {
    bytes: 32 * 1024 * 1024,
    waitBytes: 48 * 1024 * 1024,
    bytesMax: 128 * 1024 * 1024,
    lookMs: 200,
    looks: 5,
  },
  /** Bytes of these together with what is being made: past it a query is refused that needs more. */
  answersBytesMax: 192 * 1024 * 1024,
  /** Bytes of half-received frames, of all connections together; each holds up to 64 KiB more. */
  partialFrameBytesMax: 64 * 1024 * 1024,
  /** How long a half-received frame may bring no byte: local senders pause for milliseconds. */
  partialFrameSilenceMs: 10_000,
  /** How long a connection that is being refused may go on sending before it is cut. */
  lingerMs: 1_000,
  /** How long the queries of a client that ended its side go on: most likely it is gone, and nobody waits for them. */
  halfOpenMs: 2_000,
  /** After a shutdown, pauses in a row that bring no more requests for it, before the connections are closed; and in all. */
  lastRequests: { pauseMs: 1, quietPauses: 3, pausesMax: 1_000 },

  /** Connections that `Status` lists, of some 150 bytes each, so that its answer fits into a frame. */
  statusConnectionsMax: 5_000,

  /** Bytes of long texts that were let go, after which the garbage is collected; and the least time between two collections. */
  garbage: { bytes: 32 * 1024 * 1024, pauseMs: 100 },

  /**
   * Pieces of memory from `mappedBytes` on are the system's own, and go back to it when they are freed: below, an answer of 64 KB
   * took half as long again. Of what is free of the rest, `keptBytes` at the end of the C library's heap stay for the next.
   */
  largePieces: { mappedBytes: 1024 * 1024, keptBytes: 16 * 1024 * 1024 },

  // Without requests
  /**
   * Memory is given back, which takes some 30 ms of a processor, once there has been nothing to do for `quietMs`. Below
   * `notesMin` connections and pieces of requests and answers it grows little: then `pauseMs` must have passed as well.
   */
  memory: { quietMs: 1_000, notesMin: 100, pauseMs: 30_000 },
  /** What `--close-idle` and `--exit-when-idle` may be: not so short that it costs, and a week; and when files are closed. */
  idleMs: { min: 100, max: 7 * 24 * 3_600_000, closeDefault: 5 * 60_000 },

  // Requests
  /** A request's time from arrival to its end, unless it says `timeout_ms`. */
  requestTimeoutMs: 30_000,

  // Exactly once
  /** How long sessions and keys are remembered after their last use. */
  rememberSeconds: 24 * 3_600,
  /** Answers are kept without results that are longer than this, in UTF-16 units; an error's text is short as it is. */
  keptUnits: { results: 64 * 1024, errorText: 2_048 },
  /** Kept answers of one client, in UTF-16 units, past which less is kept of further ones: its row is written whole. */
  storedAnswersUnitsMax: 1024 * 1024,
  /**
   * What is kept of those: no results, and so much of an error's text. 2,048 of these with every character escaped, and the
   * ones before them, are under 10 MB, and so below what SQLite takes as one value, 16 MiB.
   */
  keptBeyond: { results: 0, errorText: 200 },
  /** Longer rows of answers, in bytes, another program has made: see above. */
  storedAnswersBytesMax: 16 * 1024 * 1024,
  /** Sessions that are held in memory, some 500 bytes each; others are read from the file. */
  sessionsCached: 1_000,
  /** What keys and their answers may take in the file. */
  keysBytesMax: 1024 * 1024 * 1024,
  /** So much later than now a row may say that it was written; one that says more has its time from now on. */
  clockAheadSeconds: 60,
  /**
   * One that says that it was written before 2025 was not, for the daemon is younger: a clock without a battery starts in 1970.
   * It has its time from now on too, unless the clock still says so.
   */
  clockBehindSeconds: 1_735_689_600,
  /**
   * Rows that are looked at for their age at once, or twice those that were added since if that is more. It is done with the
   * first commit after `sweepMs`, or after `sweepAdded` rows: a commit looks at no more than 4,000.
   */
  sweepRows: 100,
  sweepMs: 1_000,
  sweepAdded: 1_000,
  /**
   * Without commits there is one for what is too old, once that is known to be there: it is looked whether it is every
   * `sweepLookMs`, in memory alone. The loop is held for `sweepHoldMs` (some 600 rows) and then free for `sweepPauseMs`.
   */
  sweepLookMs: 60_000,
  sweepHoldMs: 4,
  sweepPauseMs: 40,

  /** The highest revision that a file may have: 2^52, so that numbers stay exact whatever is added to it. */
  revisionMax: 2 ** 52,
  /** How much of a name that stands in a file is shown in an error, in UTF-16 units. */
  shownNameUnits: 200,

  // The queue
  /** Writes of one database that wait. */
  queueRequestsMax: 10_000,
  /** Length of these together, in UTF-16 units of their requests. */
  queueUnitsMax: 64 * 1024 * 1024,

  // Groups
  /** Requests that share a commit. */
  groupRequestsMax: 1_000,
  /** For so many groups what a connection sends has savepoints after a request of it failed: it may do so again. */
  waryGroups: 100,
  /** Execution time after which a group takes no more requests. */
  groupMs: 20,
  /** Turns of the loop that a group may wait for more requests: Deno 2.9 reads only some of the ready sockets a turn. */
  gatherTurnsMax: 16,
  /** Time that a group may wait for more requests. */
  gatherMs: 1,
  /** Commits that lately took longer run off the loop; below, the way to another thread costs more than it saves. */
  commitInlineMs: 5,

  /**
   * A write that ran alone puts others like it off while others write: for `factor` times as long, at most `msMax`. Who wrote
   * within `othersWroteMs` is given `othersSendMs` to send the next.
   */
  putOff: { factor: 3, msMax: 5_000, othersWroteMs: 100, othersSendMs: 5 },
  /** Statements of a request that may share a commit; a longer one runs alone, with turns of the loop in between. */
  groupStatementsMax: 500,

  // Statements
  /**
   * Time that the loop may be held by a step before it is interrupted and done off the loop. A run there of less says that
   * the statement need not be there: on a busy machine the way to another thread alone takes over a millisecond.
   */
  stepInlineMs: 5,
  /** Bytes of values of rows over {@link LIMITS.shortUnitsMax} that are made JSON at a time: some ms. */
  longRowsBytes: 512 * 1024,
  /** A step off the loop that took less has the statement's next done inline. */
  stepCheapMs: 1,
  /** Pause before a step that was interrupted and goes on is interrupted again. */
  interruptAgainMs: 20,
  /**
   * Threads that Deno has for calls off the loop: with 33 slow steps a trivial one waited for 0.9 s. Slow queries take half of
   * them at most, those of one database a quarter, and slow writes a quarter; the rest is for commits and checkpoints.
   */
  threadsMax: 32,
  /**
   * Statements that are prepared off the loop at once, of all databases, each in up to 32 MiB: the last is for a database that
   * has none yet. The queries of one database have `ofDatabase`, and so have the writes of all.
   */
  preparations: { max: 5, reserved: 1, ofDatabase: 2 },
  /** Statements that a database remembers as costly. */
  costlyStatementsMax: 200,
  /**
   * One step in so many may be costly, such as for a moment in which the machine was busy, and the statement's steps go on on the
   * loop. And by so much the caution grows where a step on it had to be interrupted.
   */
  costlyShare: 64,
  /**
   * From this size on a file may not be in memory, and a statement that is new to it is first done off the loop: it takes a disk
   * some 20 ms to read as much. And how often its size is asked, which takes some microseconds.
   */
  largeFile: { bytes: 32 * 1024 * 1024, lookMs: 1_000 },
  /** Shapes of SQL that a large database remembers as cheap, of 1 KB at most. */
  cheapShapesMax: 1_000,
  /** SQL up to so many UTF-16 units is kept prepared: longer text is rarely sent twice, and costs memory. */
  cachedSqlLengthMax: 10_000,
  /** How old a snapshot may be that queries share: within it two processes cannot tell which came first. */
  snapshotSharedMs: 1,
  /** What statements have left that run when the daemon ends; queries also when the database has to be opened again. */
  endMs: 3_000,
  /** Connections for reading, of one database: one for quick queries, the others for those off the loop. */
  readersMax: 9,

  /** How often a daemon looks whether it can be found, which takes some microseconds: somebody may tidy up in /tmp. */
  presenceMs: 1_000,

  // The file
  /**
   * UTF-8 bytes of a database's path and of its name: SQLite takes paths of 512, file systems names of 255 (on Windows UTF-16
   * units), and both must hold `-journal`.
   */
  pathBytesMax: 504,
  nameBytesMax: 247,
  /** How much of a path is shown in an error, in UTF-16 units: all of one that can be served. */
  shownPathUnits: 600,
  /** Descriptors below which a daemon does not start: it takes some 30 itself, and a connection or a slow query one or two. */
  descriptorsMin: 64,
  /** How long SQLite may read a schema, beside the loop: 100,000 tables take 5 s. */
  schemaMs: 30_000,
  /** How long the loop may be held by the daemon's own tables while a file is opened: only one that was forged takes long. */
  ownTablesMs: 5_000,
  /** How long to wait for another process's lock while opening. */
  openBusyMs: 5_000,
  /** How long to wait for other programs' reads when the files have changed under the database. */
  rescueBusyMs: 2_000,
  /** Shortest and longest pause between two tries to get the lock. */
  busyPauseMs: { min: 1, max: 20 },
  /** Frames (pages) in the write-ahead log after which it is copied into the file: 4 MB of 4 KiB pages. */
  checkpointFrames: 1_000,
  /** Frames that a checkpoint copies inline at most: 15 ms with the sync. A larger backlog is copied off the loop. */
  checkpointInlineFrames: 2_000,
  /** Pause between syncs of the database file while a backlog is copied: 10 MB are copied meanwhile, which sync in 10 ms. */
  backlogSyncPauseMs: 5,
  /** How often a checkpoint is tried without traffic, as long as a reader holds the log back or its file is large. */
  checkpointRetryMs: 1_000,
  /** Size of the log's file that is left alone: routine checkpoints keep it at 4 MB, and cutting it costs a little. */
  walKeptBytes: 16 * 1024 * 1024,
  /** Cut off the log's file at once, by a commit: 5 ms. */
  walCutBytes: 16 * 1024 * 1024,
  /** Without writes for so long, all is cut off at once: 0.3 ms a MiB. */
  walIdleMs: 500,
  /** How long writes may wait, once a second, for the readers that keep a large log from starting over. */
  walRestartMs: 40,
  /** Pause between two checkpoints that a refused write asks for. */
  walFullRetryMs: 100,
  /** Size of the log from which on writes are refused, unless `--wal-limit` names another; and what that may be. */
  walLimitBytes: { min: 16 * 1024 * 1024, default: 1024 ** 3, max: 1024 ** 4 },
} as const;
