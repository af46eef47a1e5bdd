// Numbers, durations and times as the page writes them. Pure: no document, no clock but what is passed in.

const UNKNOWN = "–";

/** A rate: 0, 0.3, 12.4, 1,204. */
export function rate(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value === 0) return "0";
  if (value < 0.05) return "<0.1";
  return value < 100 ? value.toFixed(1).replace(/\.0$/, "") : count(Math.round(value));
}

/** A whole number with thousands apart. The same on every machine, so that support can compare screens. */
export function count(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Seconds as 0.4 ms, 12 ms, 1.3 s, 2m5s, 3h4m, 5d2h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  const milliseconds = seconds * 1000;
  if (seconds === 0) return "0 ms";
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${whole % 60}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${Math.floor((whole % 3600) / 60)}m`;
  return `${Math.floor(whole / 86400)}d${Math.floor((whole % 86400) / 3600)}h`;
}

/** How long ago, in steps that do not change every second: a cell that changes is drawn and may be read aloud. */
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  if (seconds < 2) return "now";
  if (seconds < 10) return `${Math.floor(seconds / 2) * 2} s ago`;
  if (seconds < 60) return `${Math.floor(seconds / 10) * 10} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** A share of 1 as a percentage. */
export function percent(share) {
  if (share === null || share === undefined) return UNKNOWN;
  const value = share * 100;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)}%`;
}

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A time of day, with the date when it is not of today. */
export function clock(time, now = new Date()) {
  if (!(time instanceof Date) || Number.isNaN(time.getTime())) return UNKNOWN;
  const two = (number) => String(number).padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const ofDay = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return time.toDateString() === now.toDateString() ? ofDay : `${day} ${ofDay}`;
}
