/**
 * The rows that a statement returns, as JSON.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { Blocks, TooLongError } from "../process/blocks.ts";
import { LIMITS } from "../process/limits.ts";
import type { Statement } from "../sqlite/statement.ts";
import { answersFull } from "./failures.ts";

/** Bytes of an answer that results may take: the rest is room for what surrounds them. */
export const RESULTS_BYTES_MAX = WIRE_LIMITS.frameBytesMax - 1024;

/** Collects rows as JSON, up to what fits into a frame. */
export class RowCollector {
  columns: string | undefined;
  count = 0;
  #rows: string[] = [];
  #units = 0;
  /** Of long rows since others could go first. */
  #longBytes = 0;
  /** What comes before the rows that are put into blocks next. */
  #before = "[";
  /** What does not fit into a short text; for a query only, as a write's results are kept and compared. */
  #blocks: Blocks | undefined;
  #bytesLeft: number;

  constructor(readonly wanted: boolean, bytesMax: number, readonly mayBeLong = false) {
    this.#bytesLeft = bytesMax;
  }

  /** Adds a row; false if it is a long one, which comes by {@link RowCollector.addLongRow}. */
  addRow(statement: Statement): boolean {
    this.count++;
    if (!this.wanted) return true;
    // After the first step, because a schema change may have made it another statement.
    this.addColumns(statement);
    const left = this.#bytesLeft;
    const row = statement.rowJson(this.mayBeLong ? Math.min(left, LIMITS.shortUnitsMax) : left);
    if (row === null) return false;
    this.#spend(Buffer.byteLength(row) + 1);
    this.#rows.push(row);
    this.#units += row.length;
    if (this.mayBeLong && this.#units > LIMITS.shortUnitsMax) this.#toBlocks();
    return true;
  }

  /** Whether long rows, with this one, take so long that others should go first. */
  holdsLong(statement: Statement): boolean {
    this.#longBytes += statement.rowBytes();
    if (this.#longBytes <= LIMITS.longRowsBytes) return false;
    this.#longBytes = 0;
    return true;
  }

  addLongRow(statement: Statement): void {
    if (!this.mayBeLong || statement.rowBytes() > this.#bytesLeft) throw tooLarge();
    this.#rows.push("");
    const blocks = this.#toBlocks();
    const before = blocks.bytes;
    try {
      statement.addRow(blocks);
    } catch (error) {
      // Of characters that are escaped it may be six times as long as it is in the file.
      throw error instanceof TooLongError ? tooLarge() : error;
    }
    this.#spend(blocks.bytes - before);
  }

  #toBlocks(): Blocks {
    if (Blocks.held > LIMITS.answersBytesMax) throw answersFull();
    const blocks = this.#blocks ??= new Blocks(RESULTS_BYTES_MAX);
    blocks.add(this.#before + this.#rows.join(","));
    this.#before = ",";
    this.#rows = [];
    this.#units = 0;
    return blocks;
  }

  /** Lets go of what was collected, which nobody gets. */
  release(): void {
    this.#blocks?.release();
  }

  /** Takes the columns' names, if there are any and they are not known yet. */
  addColumns(statement: Statement): void {
    if (!this.wanted || this.columns !== undefined || statement.columnCount === 0) return;
    this.columns = statement.columnsJson();
    this.#spend(Buffer.byteLength(this.columns));
  }

  #spend(bytes: number): void {
    this.#bytesLeft -= bytes;
    if (this.#bytesLeft < 0) throw tooLarge();
  }

  get bytesLeft(): number {
    return this.#bytesLeft;
  }

  /** The JSON array of rows, in blocks where it is long. */
  end(): string | Blocks {
    if (this.#blocks === undefined) return this.text;
    if (this.#rows.length > 0) this.#toBlocks();
    this.#blocks.add("]");
    return this.#blocks;
  }

  /** The JSON array of rows. */
  get text(): string {
    return `[${this.#rows.join(",")}]`;
  }
}

function tooLarge(): SkylineError {
  return new SkylineError("RESULT_TOO_LARGE", "The answer would be over 10 MiB");
}
