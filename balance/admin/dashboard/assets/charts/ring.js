// A fixed number of points in time, the oldest forgotten first: a page that is open for a week holds as much as a new one.

export class Ring {
  constructor(seriesCount, size) {
    this.size = size;
    this.times = new Float64Array(size);
    this.series = Array.from({ length: seriesCount }, () => new Float64Array(size));
    this.length = 0;
    this.next = 0;
  }

  /** Add a point; a value of null is a gap. A point that is no later than the last one is left out. */
  push(time, values) {
    if (this.length && time <= this.times[(this.next + this.size - 1) % this.size]) return;
    this.times[this.next] = time;
    values.forEach((value, index) => {
      this.series[index][this.next] = value ?? NaN;
    });
    this.next = (this.next + 1) % this.size;
    this.length = Math.min(this.length + 1, this.size);
  }

  clear() {
    this.length = 0;
    this.next = 0;
  }

  /** [times, values, ...] from the oldest to the newest, as uPlot takes them. */
  columns() {
    return [this.#inOrder(this.times), ...this.series.map((values) => this.#inOrder(values, true))];
  }

  #inOrder(values, hasGaps = false) {
    const start = (this.next + this.size - this.length) % this.size;
    const ordered = new Array(this.length);
    for (let index = 0; index < this.length; index += 1) {
      const value = values[(start + index) % this.size];
      ordered[index] = hasGaps && Number.isNaN(value) ? null : value;
    }
    return ordered;
  }
}
