/**
 * Parameters from the wire's JSON to what can be bound.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { bytesOfBase64, INTEGER_MAX, INTEGER_MIN, Real } from "../../client/values.ts";
import type { BindValues } from "../sqlite/statement.ts";
import type { BindValue } from "../sqlite/values.ts";
import { Nested } from "./json_scanner.ts";

/** Thrown where the source text of a nested value is needed: see {@link readRequestJson}. */
export class NeedsSource extends Error {}

/**
 * Reads the `params` of a statement, an array or an object of named ones.
 *
 * @throws {SkylineError} `INVALID_VALUE` for one that has no exact value in SQLite.
 * @throws {NeedsSource} when the request has to be read with the source of what is nested.
 */
export function readParameters(
  params: readonly unknown[] | Record<string, unknown>,
): BindValues {
  if (Array.isArray(params)) return params.map(readParameter);
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name, readParameter(value, name)]),
  );
}

function readParameter(value: unknown, place: number | string): BindValue {
  switch (typeof value) {
    case "number":
    case "boolean":
      return value;
    case "string":
      if (!value.isWellFormed()) throw invalid(place, "holds half a surrogate pair");
      return value;
    case "bigint":
      if (value < INTEGER_MIN || value > INTEGER_MAX) {
        throw invalid(place, `is beyond SQLite's integers of 64 bits: ${shortened(String(value))}`);
      }
      return value;
  }
  if (value === null) return null;
  if (value instanceof Real) return finite(value, place);
  return readObject(value as object, place);
}

function finite(value: Real, place: number | string): Real {
  if (!Number.isFinite(value.value)) {
    throw invalid(place, `is beyond a REAL; infinity is {"$real":"Infinity"}`);
  }
  return value;
}

function readObject(value: object, place: number | string): BindValue {
  if (value instanceof Nested) {
    if (!value.isWellFormed) throw invalid(place, "holds half a surrogate pair");
    return value.text;
  }
  if (Object.hasOwn(value, "$blob")) return readBlob(value as { $blob: unknown }, place);
  if (Object.hasOwn(value, "$real")) return readReal(value as { $real: unknown }, place);
  if (Object.hasOwn(value, "$text")) {
    throw invalid(place, "is a $text, which only answers hold: send a string, or a $blob");
  }
  throw new NeedsSource();
}

function readBlob(value: { $blob: unknown }, place: number | string): Uint8Array<ArrayBuffer> {
  onlyMember(value, "$blob", place);
  const bytes = bytesOfBase64(value.$blob);
  if (bytes === null) throw invalid(place, "has a $blob that is not base64 with padding");
  return bytes;
}

function readReal(value: { $real: unknown }, place: number | string): Real {
  onlyMember(value, "$real", place);
  const { $real } = value;
  if ($real === "Infinity") return new Real(Infinity);
  if ($real === "-Infinity") return new Real(-Infinity);
  if (typeof $real === "number" || typeof $real === "bigint") {
    return finite(new Real(Number($real)), place);
  }
  if ($real instanceof Real) return finite($real, place);
  throw invalid(place, `has a $real that is neither a number nor "Infinity" or "-Infinity"`);
}

function onlyMember(value: object, name: string, place: number | string): void {
  const other = Object.keys(value).find((key) => key !== name);
  if (other !== undefined) {
    throw invalid(place, `has a ${name} and beside it "${shortened(other)}"`);
  }
}

function invalid(place: number | string, what: string): SkylineError {
  const which = typeof place === "number" ? `${place}` : `"${shortened(place)}"`;
  return new SkylineError("INVALID_VALUE", `Parameter ${which} ${what}`);
}

function shortened(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}…`;
}
