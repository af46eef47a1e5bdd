// One live chart over uPlot, with its values as text below it: a canvas says nothing to a screen reader, and lines that
// differ by colour alone say nothing to who can't tell the colours apart, so each has a dash pattern of its own.

import { clock } from "../words/format.js";
import { Ring } from "./ring.js";

const POINTS = 600; // ten minutes at one a second
const HEIGHT = 150;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4"];

const timeOfDay = (time, hasSeconds) => clock(new Date(time * 1000)).slice(-8, hasSeconds ? undefined : -3);

export class Chart {
  /** `format` writes a value of the axis and of the legend; `series` are names; `least` is the lowest top of the axis. */
  constructor(root, { title, series, format, least }) {
    this.format = format;
    this.least = least;
    this.names = series;
    this.ring = new Ring(series.length, POINTS);
    this.plot = null;
    this.figure = document.createElement("figure");
    this.figure.className = "chart";
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    this.canvas = document.createElement("div");
    this.canvas.className = "canvas";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${title}, the last ten minutes; the newest values stand below`);
    this.legend = document.createElement("dl");
    this.legend.className = "legend";
    this.values = series.map((name, index) => this.#entry(name, index));
    this.at = document.createElement("p");
    this.at.className = "at";
    this.figure.append(caption, this.canvas, this.legend, this.at);
    root.append(this.figure);
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plot && this.#make());
  }

  push(time, values) {
    this.ring.push(time, values);
  }

  draw() {
    if (!this.plot) this.#make();
    else this.plot.setData(this.ring.columns());
    this.#write(this.plot?.cursor.idx ?? null);
  }

  #entry(name, index) {
    const group = document.createElement("div");
    const sample = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    sample.setAttribute("class", `sample series-${index + 1}`);
    sample.setAttribute("viewBox", "0 0 24 6");
    sample.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", "M0 3H24");
    line.setAttribute("stroke-dasharray", DASHES[index].join(" ") || "none");
    sample.append(line);
    const term = document.createElement("dt");
    term.append(sample, name);
    const value = document.createElement("dd");
    group.append(term, value);
    this.legend.append(group);
    return value;
  }

  /** The values at the cursor, or the newest. */
  #write(index) {
    const { ring } = this;
    const columns = this.plot?.data ?? ring.columns();
    const place = index ?? columns[0].length - 1;
    const isPast = index !== null && columns[0][place] !== undefined;
    const at = isPast ? `at ${clock(new Date(columns[0][place] * 1000))}` : "";
    if (this.at.textContent !== at) this.at.textContent = at;
    this.values.forEach((cell, series) => {
      const text = place < 0 ? "–" : this.format(columns[series + 1][place]);
      if (cell.textContent !== text) cell.textContent = text;
    });
  }

  #resize() {
    const width = this.canvas.clientWidth;
    if (width && this.plot && this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
  }

  #make() {
    const width = this.canvas.clientWidth;
    if (!width) return;
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--faint"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    const options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { y: { range: (plot, low, high) => [0, Math.max((high || 0) * 1.1, this.least)] } },
      axes: [
        {
          ...axis,
          size: 26,
          space: 80,
          values: (plot, times, index, space, step) => times.map((time) => timeOfDay(time, step < 60)),
        },
        { ...axis, size: 60, values: (plot, values) => values.map(this.format) },
      ],
      series: [
        {},
        ...this.names.map((name, index) => ({
          label: name,
          stroke: colour(COLOURS[index]),
          width: 1.75,
          dash: DASHES[index],
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#write(plot.cursor.idx ?? null)] },
    };
    this.plot = new uPlot(options, this.ring.columns(), this.canvas);
  }
}
