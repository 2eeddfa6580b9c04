/**
 * Whether a file lies on this computer, where all programs that open it see its locks and share its memory.
 *
 * @module
 */
import { cString } from "./file_identity.ts";
import { kernel32, wideString } from "./kernel32.ts";

/** Why a file system will not do. */
export interface Unfit {
  readonly reason: string;
  /** What the user can do. */
  readonly hint: string;
}

/** Why no database can be served at the absolute path `path`, as far as the path itself tells: nothing is touched. */
export function unfitPath(path: string): Unfit | null {
  return Deno.build.os === "windows" ? unfitWindowsPath(path, driveType) : null;
}

/**
 * Why no database can be served at the real path `path`, which exists; `null` when nothing speaks against it. A log in WAL mode needs
 * memory that all programs share which have the database open, and locks that all of them see: a network offers neither.
 */
export function unfitFileSystem(path: string): Unfit | null {
  switch (Deno.build.os) {
    case "windows":
      return unfitPath(path);
    case "darwin":
      return isLocalOnDarwin(path) ? null : unfit("it is on a network drive");
    default: {
      const mount = mountOf(mountInfo(), path);
      return mount && unfitMount(mount);
    }
  }
}

function unfit(reason: string, hint = "Put it on a disk of this computer"): Unfit {
  return { reason, hint };
}

// Linux

/** A line of /proc/self/mountinfo. */
export interface Mount {
  /** Where it is, such as `/mnt/data`. */
  readonly point: string;
  /** Such as `ext4` or `fuse.sshfs`. */
  readonly type: string;
  /** Such as `/dev/sda1` or `server:/export`. */
  readonly source: string;
  /** Options of the file system, after a comma each. */
  readonly options: string;
  /** Whether nothing can be written, by the mount or by the file system. */
  readonly isReadOnly: boolean;
}

function mountInfo(): string {
  try {
    return Deno.readTextFileSync("/proc/self/mountinfo");
  } catch {
    return ""; // Without /proc, in a bare chroot, nothing is known.
  }
}

/**
 * The file system that holds the absolute path `path`, out of the text of /proc/self/mountinfo: the one with the longest
 * mount point, and the last of these, which covers the others.
 */
export function mountOf(mountinfo: string, path: string): Mount | null {
  let found: Mount | null = null;
  for (const line of mountinfo.split("\n")) {
    // Optional fields come before the dash; a space in a name is written \040.
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    if (dash < 0) continue;
    const [type, source, options = ""] = fields.slice(dash + 1).map(unescape);
    const point = unescape(fields[4]);
    const holds = point === "/" || path === point || path.startsWith(`${point}/`);
    if (holds && point.length >= (found?.point.length ?? 0)) {
      const isReadOnly = [fields[5], options].some((each) => each.split(",").includes("ro"));
      found = { point, type, source, options, isReadOnly };
    }
  }
  return found;
}

/** Only white space, the backslash and, in a source, `#` are escaped: each is a character of its own. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

/** Served by another computer over a network. */
const NETWORK_TYPES = new Set(
  ("nfs nfs4 cifs smb3 smbfs ncpfs afs ceph coda lustre gpfs beegfs orangefs pvfs2 " +
    // Helpers of FUSE; what they show may be changed elsewhere, and their locks stay on this computer.
    "fuse.sshfs fuse.glusterfs fuse.ceph fuse.ceph-fuse fuse.davfs fuse.davfs2 fuse.rclone fuse.s3fs fuse.goofys " +
    "fuse.mountpoint-s3 fuse.gcsfuse fuse.blobfuse fuse.blobfuse2 fuse.juicefs fuse.seaweedfs fuse.mfs fuse.lizardfs " +
    "fuse.curlftpfs fuse.smbnetfs fuse.gvfsd-fuse fuse.google-drive-ocamlfuse fuse.onedriver")
    .split(" "),
);
/** On disks that several computers write to: the lock that keeps a second daemon away is on one of them only. */
const CLUSTER_TYPES = new Set(["gfs2", "ocfs2"]);
/** A folder of the computer that this virtual one runs on; they have no memory in common, and several no locks. */
const HOST_TYPES = new Set(["9p", "vboxsf", "vmhgfs", "fuse.vmhgfs-fuse", "prl_fs"]);

/** Whether a real path is where nothing can be written, as far as the system tells: on Linux. */
export function isOnReadOnlyMount(path: string): boolean {
  return Deno.build.os === "linux" && mountOf(mountInfo(), path)?.isReadOnly === true;
}

/** Why no database can be served on such a file system. */
export function unfitMount(
  { point, type, source, options }: Omit<Mount, "isReadOnly">,
): Unfit | null {
  const named = `${point}, file system ${type}`;
  const isWindowsDrive = type === "drvfs" ||
    (type === "9p" || type === "virtiofs") &&
      (/drvfs/i.test(`${source},${options}`) || /^[A-Za-z]:/.test(source));
  if (isWindowsDrive) {
    return unfit(
      `it is on a Windows drive, seen from WSL (${named})`,
      "Serve it with skylinedb-daemon.exe on Windows, or put it in the Linux file system, such as in your home folder",
    );
  }
  if (NETWORK_TYPES.has(type)) return unfit(`it is on a network drive (${named})`);
  if (CLUSTER_TYPES.has(type)) return unfit(`it is on a disk of several computers (${named})`);
  if (HOST_TYPES.has(type)) {
    return unfit(`it is in a folder shared with the host computer (${named})`);
  }
  return null;
}

// macOS

const MNT_LOCAL = 0x1000;

function isLocalOnDarwin(path: string): boolean {
  const { statfs } = Deno.dlopen("libSystem.B.dylib", {
    statfs: {
      name: Deno.build.arch === "x86_64" ? "statfs$INODE64" : "statfs",
      parameters: ["buffer", "buffer"],
      result: "i32",
    },
  }).symbols;
  const buffer = new Uint8Array(2_168); // struct statfs with 64-bit inodes; f_flags is at 64
  if (statfs(cString(path), buffer) !== 0) return true;
  return (new DataView(buffer.buffer).getUint32(64, true) & MNT_LOCAL) !== 0;
}

// Windows

const DRIVE_REMOTE = 4;

function driveType(root: string): number {
  return kernel32().GetDriveTypeW(wideString(root));
}

/** A last name that Windows takes for a device, in whatever folder and whatever comes behind a dot. */
const DEVICE = /\\(CON|PRN|AUX|NUL|(?:COM|LPT)[1-9\u00b9\u00b2\u00b3]) *(?:\.[^\\]*)?$/i;

/**
 * Why no database can be served at an absolute Windows path. It is not touched, unless it names a drive, whose type
 * `driveType` tells: a server that is away would be waited for.
 */
export function unfitWindowsPath(
  path: string,
  driveType: (root: string) => number,
): Unfit | null {
  const plain = path.replaceAll("/", "\\").replace(/^\\\\[?.]\\UNC\\/i, "\\\\")
    .replace(/^\\\\[?.]\\(?=[A-Za-z]:)/, "");
  if (/^\\\\wsl(\.localhost|\$)\\/i.test(plain)) {
    return unfit(
      "it is in a Linux file system (WSL), seen from Windows",
      "Serve it with the Linux skylinedb-daemon in WSL, or put it on a Windows drive",
    );
  }
  if (/^\\\\[^?.\\]/.test(plain)) return unfit("it is on a network drive");
  const drive = /^[A-Za-z]:/.exec(plain)?.[0];
  const rest = drive === undefined ? plain : plain.slice(drive.length);
  if (rest.includes(":")) {
    return unfit(
      "behind a colon Windows takes a name for a stream of another file",
      "Give it a name without a colon, such as app.db",
    );
  }
  const device = DEVICE.exec(rest)?.[1];
  if (device !== undefined) {
    return unfit(`Windows takes ${device} for a device`, "Give it another name, such as app.db");
  }
  if (drive !== undefined && driveType(`${drive}\\`) === DRIVE_REMOTE) {
    return unfit(`${drive} is a network drive`);
  }
  return null;
}
