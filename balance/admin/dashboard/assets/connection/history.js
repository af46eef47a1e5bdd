// The last ten minutes of totals, for tabs that come or come back: a fixed number of points, the oldest forgotten first.

const POINTS = 600;

export class History {
  constructor() {
    this.points = [];
  }

  /** From the server's columns: {at: [...], requests: [...], ...}. */
  replace(columns) {
    const times = columns.at ?? [];
    const names = Object.keys(columns).filter((name) => name !== "at" && Array.isArray(columns[name]));
    this.points = times.slice(-POINTS).map((at, index) => {
      const place = Math.max(times.length - POINTS, 0) + index;
      const point = { at };
      for (const name of names) if (columns[name][place] !== null) point[name] = columns[name][place];
      return point;
    });
  }

  /** The totals of a document, without what charts do not show. Returns the point. */
  append(at, totals) {
    const point = { at };
    for (const [name, value] of Object.entries(totals)) if (typeof value === "number") point[name] = value;
    this.points.push(point);
    if (this.points.length > POINTS) this.points.shift();
    return point;
  }

  /** A point without values: lines break here. */
  gap(at) {
    this.points.push({ at });
    if (this.points.length > POINTS) this.points.shift();
  }
}
