/**
 * The names of the kernel objects that programs on Windows made, which no documented call of kernel32 lists.
 *
 * @module
 */
import { kernel32, wideString } from "./kernel32.ts";

const SYMBOLS = {
  NtClose: { parameters: ["pointer"], result: "u32" },
  NtOpenDirectoryObject: { parameters: ["buffer", "u32", "buffer"], result: "u32" },
  NtQueryDirectoryObject: {
    parameters: ["pointer", "buffer", "u32", "u8", "u8", "buffer", "buffer"],
    result: "u32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

const DIRECTORY_QUERY = 1;
const OBJECT_ATTRIBUTES_BYTES = 48;
const UNICODE_STRING_BYTES = 16;
/** One entry: two counted strings, and their texts, each of at most 65,534 bytes. */
const ENTRY_BYTES = 32 + 2 * 65_536;

/** Names of all sessions' and this session's objects that pass `wanted`, with the prefix by which they are opened. */
export function objectNames(wanted: (name: string) => boolean): string[] {
  const session = new Uint32Array(1);
  kernel32().ProcessIdToSessionId(Deno.pid, new Uint8Array(session.buffer));
  const names = namesIn("\\BaseNamedObjects").filter(wanted).map((name) => `Global\\${name}`);
  // Session 0, that of the services, has no folder of its own.
  if (session[0] === 0) return names;
  const own = namesIn(`\\Sessions\\${session[0]}\\BaseNamedObjects`).filter(wanted);
  return [...names, ...own.map((name) => `Local\\${name}`)];
}

function namesIn(directory: string): string[] {
  const { NtOpenDirectoryObject, NtQueryDirectoryObject, NtClose } =
    Deno.dlopen("ntdll.dll", SYMBOLS).symbols;
  const handle = new BigUint64Array(1);
  const status = NtOpenDirectoryObject(
    new Uint8Array(handle.buffer),
    DIRECTORY_QUERY,
    objectAttributes(directory),
  );
  if (status !== 0) return [];
  const opened = Deno.UnsafePointer.create(handle[0]);
  const names: string[] = [];
  const entry = new Uint8Array(ENTRY_BYTES);
  const position = new Uint8Array(4);
  while (
    NtQueryDirectoryObject(opened, entry, ENTRY_BYTES, 1, 0, position, new Uint8Array(4)) === 0
  ) {
    names.push(entryName(entry));
  }
  NtClose(opened);
  return names;
}

/** OBJECT_ATTRIBUTES, its UNICODE_STRING and that one's text, in one buffer so that they live equally long. */
function objectAttributes(path: string): Uint8Array<ArrayBuffer> {
  const text = wideString(path);
  const textAt = OBJECT_ATTRIBUTES_BYTES + UNICODE_STRING_BYTES;
  const bytes = new Uint8Array(textAt + text.length);
  bytes.set(text, textAt);
  const view = new DataView(bytes.buffer);
  const address = addressOf(bytes);
  view.setUint32(0, OBJECT_ATTRIBUTES_BYTES, true);
  view.setBigUint64(16, address + BigInt(OBJECT_ATTRIBUTES_BYTES), true);
  view.setUint16(OBJECT_ATTRIBUTES_BYTES, text.length - 2, true);
  view.setUint16(OBJECT_ATTRIBUTES_BYTES + 2, text.length, true);
  view.setBigUint64(OBJECT_ATTRIBUTES_BYTES + 8, address + BigInt(textAt), true);
  return bytes;
}

/** The name of an OBJECT_DIRECTORY_INFORMATION, whose text lies in the same buffer. */
function entryName(entry: Uint8Array<ArrayBuffer>): string {
  const view = new DataView(entry.buffer);
  const units = view.getUint16(0, true) / 2;
  const at = Number(view.getBigUint64(8, true) - addressOf(entry));
  return String.fromCharCode(...new Uint16Array(entry.buffer.slice(at, at + 2 * units)));
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
}
