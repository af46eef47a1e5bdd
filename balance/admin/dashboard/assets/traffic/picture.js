// Draws the picture of traffic as SVG. Elements are kept by key and only what differs is set.

import { rate } from "../words/format.js";
import { COLUMNS, WIDTH, layout } from "./layout.js";

const LONGEST_LABEL = 17;

export class Picture {
  constructor(root) {
    this.svg = make("svg", { class: "picture", role: "img", "aria-label": "Traffic from listeners to backends" });
    this.ribbons = this.svg.appendChild(make("g", {}));
    this.nodes = this.svg.appendChild(make("g", {}));
    this.made = new Map(); // key -> {element, ...what was set}
    this.described = "";
    COLUMNS.forEach((title, index) => {
      const text = make("text", { class: "heading", x: String((index * (WIDTH - 150)) / 3), y: "14" });
      text.textContent = title;
      this.svg.append(text);
    });
    root.append(this.svg);
  }

  update(document) {
    const { height, nodes, ribbons, total } = layout(document);
    set(this.svg, "viewBox", `0 0 ${WIDTH} ${height}`);
    const kept = new Set();
    for (const ribbon of ribbons) {
      const path = this.#kept(`ribbon ${ribbon.key}`, kept, () => this.ribbons.appendChild(make("path", {})));
      set(path, "d", ribbon.path);
      set(path, "stroke-width", String(ribbon.width));
      set(path, "class", `ribbon${ribbon.isIdle ? " idle" : ""}${ribbon.isOut ? " out" : ""}`);
    }
    for (const node of nodes)
      this.#node(
        node,
        this.#kept(`node ${node.key}`, kept, () => this.#newNode()),
      );
    for (const [key, element] of this.made) {
      if (kept.has(key)) continue;
      element.remove();
      this.made.delete(key);
    }
    this.#describe(nodes, total);
  }

  #kept(key, kept, create) {
    kept.add(key);
    if (!this.made.has(key)) this.made.set(key, create());
    return this.made.get(key);
  }

  #newNode() {
    const group = make("g", { class: "node" });
    group.append(
      make("title", {}),
      make("rect", { height: "28", rx: "4" }),
      make("text", { y: "18", x: "8", class: "label" }),
      make("text", { y: "18", class: "rate" }),
    );
    return this.nodes.appendChild(group);
  }

  #node(node, group) {
    const [title, box, label, value] = group.children;
    set(group, "transform", `translate(${Math.round(node.x)} ${node.y})`);
    set(group, "class", `node${node.isOut ? " out" : ""}`);
    set(box, "width", String(node.width));
    set(value, "x", String(node.width - 8));
    write(title, `${node.full}${node.isOut ? ", out" : ""}`);
    const sign = node.isOut ? "✕ " : "";
    const short =
      node.label.length > LONGEST_LABEL - sign.length ? `${node.label.slice(0, LONGEST_LABEL - sign.length - 1)}…` : node.label;
    write(label, sign + short);
    write(value, rate(node.rate));
  }

  /** In words, the busiest of each column. Rates are left out: they would change every second. */
  #describe(nodes, total) {
    const busy = (column) =>
      nodes
        .filter((node) => node.column === column && node.rate > 0)
        .sort((a, b) => b.rate - a.rate)
        .slice(0, 3)
        .map((node) => node.label);
    const parts = COLUMNS.map((title, column) => `${title.toLowerCase()} ${busy(column).sort().join(", ") || "idle"}`);
    const text =
      total > 0
        ? `Traffic goes through ${parts.join("; ")}. The tables below have the figures.`
        : "No traffic now. The tables below have the figures.";
    if (text !== this.described) {
      this.described = text;
      this.svg.setAttribute("aria-label", text);
    }
  }
}

function make(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
