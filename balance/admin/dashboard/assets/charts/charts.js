// The four charts, and which figures of the totals each shows.

import { count, duration, rate } from "../words/format.js";
import { Chart } from "./chart.js";

const CHARTS = [
  {
    title: "Requests per second",
    series: ["requests", "TCP sessions"],
    keys: ["requests", "sessions"],
    format: rate,
    least: 5,
  },
  {
    title: "Errors per second",
    series: ["5xx", "4xx", "retries"],
    keys: ["errors_5xx", "errors_4xx", "retries"],
    format: rate,
    least: 1,
  },
  {
    title: "Latency",
    series: ["p50", "p90", "p99"],
    keys: ["p50_seconds", "p90_seconds", "p99_seconds"],
    format: duration,
    least: 0.005,
  },
  {
    title: "Connections",
    series: ["open", "requests under way", "waiting"],
    keys: ["active_connections", "active_requests", "waiting"],
    format: count,
    least: 5,
  },
];

export class Charts {
  constructor(root) {
    this.charts = CHARTS.map((each) => new Chart(root, each));
  }

  /** All points anew. */
  replace(points) {
    for (const chart of this.charts) chart.ring.clear();
    for (const point of points) this.push(point.at, point);
  }

  push(at, totals) {
    this.charts.forEach((chart, index) =>
      chart.push(
        at,
        CHARTS[index].keys.map((key) => totals[key]),
      ),
    );
  }

  /** What has to be drawn, one chart each: the first time takes so long that all together would be a long task. */
  get parts() {
    return this.charts.map((chart) => () => chart.draw());
  }
}
