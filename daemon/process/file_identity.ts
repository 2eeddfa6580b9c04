/**
 * Which file a path leads to, whatever its spelling: device and inode, or volume and file index.
 *
 * @module
 */
import { kernel32, wideString } from "./kernel32.ts";

/** A file as the operating system knows it. */
export interface FileIdentity {
  /** Equal for two paths exactly if they lead to one file; hexadecimal digits and `-`. */
  readonly key: string;
  /** Number of the file's names (hard links). */
  readonly links: number;
}

/**
 * The identity of the file that `path` leads to; symbolic links are followed, and the file is not opened for its data.
 *
 * The calls are made directly: Deno's own `stat` passes an inode through a number, also where it returns a bigint, and
 * rounds it beyond 2^53, where network file systems, overlays and NTFS have theirs; two files would look like one.
 *
 * @throws {Error} when the path leads to no file, or to one that may not be looked at.
 */
export function fileIdentity(path: string): FileIdentity {
  const identity = Deno.build.os === "windows"
    ? windowsIdentity(path)
    : Deno.build.os === "darwin"
    ? darwinIdentity(path)
    : linuxIdentity(path);
  if (identity) return identity;
  Deno.statSync(path); // says why, in the runtime's words
  throw new Error(`Cannot look at the file ${path}`);
}

function identityOf(device: bigint | number, file: bigint, links: number): FileIdentity {
  return { key: `${device.toString(16)}-${file.toString(16)}`, links };
}

const AT_FDCWD = -100;
const STATX_NLINK_AND_INO = 0x4 | 0x100;
const statxBuffer = new Uint8Array(256);
const statxView = new DataView(statxBuffer.buffer);

let statx:
  | ((
    fd: number,
    path: Uint8Array<ArrayBuffer>,
    flags: number,
    mask: number,
    out: Uint8Array<ArrayBuffer>,
  ) => number)
  | undefined;

/** By `statx`, whose structure is the same on every processor, as that of `stat` is not. */
function linuxIdentity(path: string): FileIdentity | null {
  statx ??= Deno.dlopen("libc.so.6", {
    statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  }).symbols.statx;
  if (statx(AT_FDCWD, cString(path), 0, STATX_NLINK_AND_INO, statxBuffer) !== 0) return null;
  const device = (BigInt(statxView.getUint32(136, true)) << 32n) |
    BigInt(statxView.getUint32(140, true));
  return identityOf(device, statxView.getBigUint64(32, true), statxView.getUint32(16, true));
}

/** By `stat` with the structure of 64-bit inodes, which bears another name on x86-64. */
function darwinIdentity(path: string): FileIdentity | null {
  const { stat } = Deno.dlopen("libSystem.B.dylib", {
    stat: {
      name: Deno.build.arch === "x86_64" ? "stat$INODE64" : "stat",
      parameters: ["buffer", "buffer"],
      result: "i32",
    },
  }).symbols;
  const buffer = new Uint8Array(256);
  if (stat(cString(path), buffer) !== 0) return null;
  const view = new DataView(buffer.buffer);
  return identityOf(view.getUint32(0, true), view.getBigUint64(8, true), view.getUint16(6, true));
}

const INVALID_HANDLE = 2n ** 64n - 1n;
const SHARE_ALL = 7, OPEN_EXISTING = 3, FILE_FLAG_BACKUP_SEMANTICS = 0x02000000;

function windowsIdentity(path: string): FileIdentity | null {
  const { CreateFileW, GetFileInformationByHandle, CloseHandle } = kernel32();
  // No access is asked for, so that nobody's sharing mode is in the way.
  const handle = CreateFileW(
    wideString(path),
    0,
    SHARE_ALL,
    null,
    OPEN_EXISTING,
    FILE_FLAG_BACKUP_SEMANTICS,
    null,
  );
  if (handle === null || Deno.UnsafePointer.value(handle) === INVALID_HANDLE) return null;
  const buffer = new Uint8Array(52);
  const found = GetFileInformationByHandle(handle, buffer);
  CloseHandle(handle);
  if (found === 0) return null;
  const view = new DataView(buffer.buffer);
  const index = (BigInt(view.getUint32(44, true)) << 32n) | BigInt(view.getUint32(48, true));
  return identityOf(view.getUint32(28, true), index, view.getUint32(40, true));
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}
