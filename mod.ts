/**
 * Client of skylinedb-daemon: see `connect`.
 *
 * @module
 */
export * from "./client/mod.ts";
