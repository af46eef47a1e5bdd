// The header and the tiles: who this is, how long it has been up, and the figures that matter first.

import { count, duration, rate } from "./words/format.js";

const TILES = [
  ["Requests/s", (d) => rate(d.totals.requests + (d.totals.sessions ?? 0))],
  ["5xx/s", (d) => rate(d.totals.errors_5xx), (d) => (d.totals.errors_5xx ? "bad" : "")],
  ["p50", (d) => duration(d.totals.p50_seconds)],
  ["p99", (d) => duration(d.totals.p99_seconds)],
  ["Connections", (d) => count(d.totals.active_connections)],
  ["Waiting", (d) => count(d.totals.waiting), (d) => (d.totals.waiting ? "warn" : "")],
  ["Backends in", backendsIn, (d) => (Object.values(d.backends).some((backend) => backend.out) ? "bad" : "good")],
];

export class Overview {
  constructor() {
    const root = document.getElementById("tiles");
    this.tiles = TILES.map(([title, text, tone]) => {
      const group = document.createElement("div");
      const term = document.createElement("dt");
      term.textContent = title;
      const value = document.createElement("dd");
      group.append(term, value);
      root.append(group);
      return { value, text, tone };
    });
  }

  update(state) {
    const { instance } = state;
    write("instance-name", instance.name ?? instance.host);
    write("version", instance.version);
    write("stage", stageWords(instance));
    write("generation", String(instance.generation));
    write("uptime", duration(coarse(state.at - instance.started_at)));
    const used = Object.keys(state.features ?? {}).filter((name) => state.features[name]);
    write("features", used.length ? used.map((name) => name.replaceAll("_", " ")).join(", ") : "none besides balancing");
    for (const { value, text, tone } of this.tiles) {
      const words = text(state);
      if (value.textContent !== words) value.textContent = words;
      const name = tone?.(state) ?? "";
      if (value.className !== name) value.className = name;
    }
    const out = Object.values(state.backends).filter((backend) => backend.out).length;
    const title = `${out ? `✕ ${out} out · ` : ""}${instance.name ?? instance.host} · Balance`;
    if (document.title !== title) document.title = title;
  }
}

export function write(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

function backendsIn(state) {
  const all = Object.values(state.backends);
  return `${count(all.filter((backend) => !backend.out).length)} of ${count(all.length)}`;
}

function stageWords(instance) {
  const sign = instance.ready && instance.healthy ? "●" : "✕";
  const words = instance.ready ? instance.stage : `${instance.stage}, not ready`;
  return `${sign} ${words}${instance.reasons ? `: ${instance.reasons}` : ""}`;
}

/** Seconds that do not change with each document. */
const coarse = (seconds) => (seconds < 60 ? seconds : Math.floor(seconds / 10) * 10);
