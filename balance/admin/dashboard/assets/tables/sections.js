// The tables below the backends, each in the element that has its name.

import { instanceTables } from "./instance_tables.js";
import { Table } from "./table.js";
import { trafficTables } from "./traffic_tables.js";

export class Sections {
  /** `onSwitch(route)`: somebody wants to switch a blue-green route. */
  constructor(onSwitch) {
    this.now = 0;
    this.tables = Object.entries({ ...trafficTables(() => this.now), ...instanceTables(() => this.now) }).map(
      ([id, section]) => {
        const columns = section.hasSwitch ? [...section.columns, switchColumn(onSwitch)] : section.columns;
        const keyOf = section.keyOf ?? ((row) => row.key);
        return { section, table: new Table(document.getElementById(id), { ...section, columns, keyOf, kind: id }) };
      },
    );
  }

  update(state) {
    this.now = state.at;
    for (const { section, table } of this.tables) {
      table.update(section.rows(state));
      const empty = section.emptyWhen?.(state) || section.empty;
      if (table.empty.textContent !== empty) table.empty.textContent = empty;
      if (section.hasSwitch)
        table.table.classList.toggle("no-switch", !Object.values(state.routes ?? {}).some((route) => route.switch));
    }
  }
}

/** Blue-green: which side is served, and the button that changes it. */
function switchColumn(onSwitch) {
  return {
    title: "Blue-green",
    className: "switch",
    fill(cell) {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => onSwitch(cell.row));
      cell.append(button);
      cell.button = button;
    },
    refresh(cell, route) {
      cell.row = route;
      cell.button.hidden = !route.switch;
      const text = route.switch ? `${route.switch.active} (${route.switch[route.switch.active]}): switch…` : "";
      if (cell.button.textContent !== text) cell.button.textContent = text;
      if (route.switch) cell.button.setAttribute("aria-label", `Switch route ${route.name}, ${route.switch.active} now`);
    },
  };
}
