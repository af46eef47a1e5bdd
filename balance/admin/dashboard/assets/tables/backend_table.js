// The table of backends, its search, and the buttons of each row.

import * as words from "../words/backend_words.js";
import { count, duration, rate } from "../words/format.js";
import { Table } from "./table.js";

export class BackendTable {
  /** `onChange(backend, what)`: somebody wants to drain, enable or change a backend. */
  constructor(section, onChange) {
    this.now = 0;
    this.backends = [];
    this.search = section.querySelector("#search");
    this.kind = section.querySelector("#search-state");
    this.found = section.querySelector("#found");
    const now = () => this.now;
    this.table = new Table(section.querySelector(".holder"), {
      caption: "Backends",
      kind: "backends",
      keyOf: (backend) => `${backend.pool}/${backend.name}`,
      empty: "No backend is configured.",
      columns: [
        { title: "Backend", isHead: true, text: (b) => b.name, note: identity, sort: (b) => `${b.pool}/${b.name}` },
        {
          title: "State",
          text: words.stateText,
          tone: words.stateTone,
          note: (b) => words.stateNote(b, now()),
          sort: (b) => (b.out ? "0" : "1") + b.state,
        },
        {
          title: "Circuit",
          text: words.circuitText,
          tone: words.circuitTone,
          note: (b) => words.circuitNote(b, now()),
          sort: (b) => b.breaker?.state,
        },
        { title: "Share", text: words.shareText, note: words.shareNote, sort: (b) => b.share, isNumber: true },
        { title: "Active", text: (b) => count(b.active), note: words.activeNote, sort: (b) => b.active, isNumber: true },
        { title: "Req/s", text: (b) => rate(b.rate), sort: (b) => b.rate, isNumber: true },
        { title: "p50", text: (b) => duration(b.p50_seconds), sort: (b) => b.p50_seconds, isNumber: true },
        { title: "p99", text: (b) => duration(b.p99_seconds), sort: (b) => b.p99_seconds, isNumber: true },
        {
          title: "Errors",
          text: words.errorsText,
          tone: (b) => (b.errors ? "bad" : ""),
          note: words.errorsNote,
          sort: (b) => b.errors,
          isNumber: true,
        },
        { title: "Last check", text: words.checkText, tone: words.checkTone, note: (b) => words.checkNote(b, now()) },
        { title: "Last hit", text: (b) => words.lastHitText(b, now()), sort: (b) => b.last_hit_at },
        { title: "Change", fill: (cell, b) => this.#buttons(cell, b), refresh: (cell, b) => this.#refresh(cell, b) },
      ],
    });
    this.table.onFilled = () => this.#filter();
    this.search.addEventListener("input", () => this.#filter());
    this.kind.addEventListener("change", () => this.#filter());
    this.onChange = onChange;
  }

  update(document) {
    this.now = document.at;
    this.backends = Object.values(document.backends).sort((a, b) => a.order - b.order);
    this.table.update(this.backends);
    this.#filter();
  }

  #filter() {
    const terms = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = this.kind.value;
    const holds = (backend) => {
      if (
        kind === "out"
          ? !backend.out
          : kind === "open"
            ? (backend.breaker?.state ?? "closed") === "closed"
            : kind && backend.state !== kind
      )
        return false;
      const text = terms.length ? words.searchText(backend) : "";
      return terms.every((term) => text.includes(term));
    };
    const shown = this.table.show(terms.length || kind ? holds : null);
    const all = this.backends.length;
    const out = this.backends.filter((backend) => backend.out).length;
    const text =
      terms.length || kind
        ? `${count(shown)} of ${count(all)} shown`
        : `${count(all)} backends, ${out ? `${count(out)} out` : "none out"}`;
    if (this.found.textContent !== text) this.found.textContent = text;
  }

  /** Two buttons: the usual order, and all of them. */
  #buttons(cell, backend) {
    const usual = button(() => this.onChange(cell.row, cell.usual));
    const more = button(() => this.onChange(cell.row, "more"));
    more.textContent = "More…";
    more.setAttribute("aria-label", `More changes of backend ${backend.pool}/${backend.name}`);
    const group = document.createElement("span");
    group.className = "buttons";
    group.append(usual, more);
    cell.append(group);
    cell.usualButton = usual;
  }

  #refresh(cell, backend) {
    cell.row = backend;
    const usual = backend.state === "draining" || backend.state === "maintenance" ? "enable" : "drain";
    if (cell.usual !== usual) {
      cell.usual = usual;
      cell.usualButton.textContent = usual === "drain" ? "Drain" : "Enable";
      cell.usualButton.setAttribute("aria-label", `${cell.usualButton.textContent} backend ${backend.pool}/${backend.name}`);
    }
  }
}

function identity(backend) {
  const parts = [`pool ${backend.pool}`, backend.address, `weight ${backend.weight}`];
  if (backend.backup) parts.push("backup");
  if (backend.region) parts.push(backend.region);
  return parts.join(" · ");
}

function button(onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}
