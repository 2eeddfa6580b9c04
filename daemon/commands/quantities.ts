/**
 * Numbers with their units, as people read them.
 *
 * @module
 */

const digits = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** A count, such as `12,345`. */
export function countText(count: number): string {
  return digits.format(count);
}

/** A size in bytes, such as `4.1 MB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  // What would be shown as 1000 is one of the next unit.
  while (value >= 999.95 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  return `${value.toFixed(1)} ${units[0]}`;
}

/** A duration in milliseconds that may be long, such as `3 h 12 min`. */
export function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60].map(
    Math.floor,
  );
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** A duration in milliseconds that most likely is short, such as `0.24 ms`. */
export function latencyText(ms: number): string {
  if (ms >= 999.5) return `${(ms / 1000).toFixed(ms < 99_950 ? 1 : 0)} s`;
  return `${ms.toFixed(ms < 0.995 ? 2 : ms < 9.95 ? 1 : 0)} ms`;
}
