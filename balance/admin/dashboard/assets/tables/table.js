// A table of rows with keys: each row is made once, and later only the cells whose text has changed are touched.
// So focus, a selection and a screen reader's place survive updates.
//
// The roles are written out because the style sheets give rows another `display` (cards on a phone), which takes their
// meaning away in some browsers.

import { Row, classes, element } from "./row.js";

const ROWS_A_SLICE = 20; // made before the browser gets a turn: keeps 2,000 rows from being one long task
const RESORT_MS = 5000;

/**
 * A column is {title, text(row)} and may have note(row), a second line; tone(row): good, warn, bad or ""; sort(row), a value;
 * isNumber; isLines, text of several lines; isHead, the cell that names its row; className; fill(cell, row) and
 * refresh(cell, row), for cells of elements that are made once.
 */
export class Table {
  constructor(root, { caption, columns, keyOf, empty, kind = "" }) {
    this.columns = columns;
    this.keyOf = keyOf;
    this.rows = new Map(); // key -> Row
    this.order = [];
    this.wanted = [];
    this.filter = null;
    this.sorted = null; // {column, isDown}
    this.sortedAt = 0;
    this.isFilling = false;
    this.onFilled = () => {};
    this.table = element("table", `table ${kind}`);
    this.table.setAttribute("role", "table");
    const title = element("caption", "hidden-text");
    title.textContent = caption;
    this.headings = columns.map((column) => this.#heading(column));
    const head = element("thead");
    head.setAttribute("role", "rowgroup");
    const headRow = element("tr");
    headRow.setAttribute("role", "row");
    headRow.append(...this.headings);
    head.append(headRow);
    this.body = element("tbody");
    this.body.setAttribute("role", "rowgroup");
    this.empty = element("p", "empty");
    this.empty.textContent = empty;
    this.table.append(title, head, this.body);
    root.append(this.table, this.empty);
    this.seen = new IntersectionObserver((entries) => this.#onSeen(entries), { rootMargin: "300px" });
    this.update([]);
  }

  /** Show these rows, in this order unless the user has chosen another. */
  update(rows) {
    this.order = rows;
    this.table.hidden = rows.length === 0;
    this.empty.hidden = rows.length !== 0;
    const kept = new Set();
    for (const data of rows) {
      const key = this.keyOf(data);
      kept.add(key);
      const row = this.rows.get(key);
      if (row) row.take(data);
    }
    for (const [key, row] of this.rows) {
      if (!kept.has(key)) {
        this.seen.unobserve(row.element);
        row.element.remove();
        this.rows.delete(key);
      }
    }
    const isDue = this.sorted && performance.now() - this.sortedAt > RESORT_MS && !this.#isInUse();
    const hasNew = this.rows.size !== kept.size;
    if (hasNew || isDue || !this.sorted) this.#arrange();
  }

  /** Show only the rows for which this holds; null: all. Returns how many. */
  show(filter) {
    this.filter = filter;
    let shown = 0;
    for (const row of this.rows.values()) shown += row.show(filter) ? 1 : 0;
    return shown;
  }

  #heading(column) {
    const cell = element("th", classes(column));
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    if (!column.sort) {
      cell.textContent = column.title;
      return cell;
    }
    const button = element("button", "sort");
    button.type = "button";
    button.textContent = column.title;
    button.addEventListener("click", () => this.#sortBy(column, cell));
    cell.append(button);
    return cell;
  }

  #sortBy(column, cell) {
    const isDown = this.sorted?.column === column ? !this.sorted.isDown : Boolean(column.isNumber);
    this.sorted = { column, isDown };
    for (const other of this.headings) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", isDown ? "descending" : "ascending");
    this.#arrange();
  }

  /** Rows do not move under a pointer or a focus. */
  #isInUse() {
    return this.body.contains(document.activeElement) || this.body.matches(":hover");
  }

  #arrange() {
    let rows = this.order;
    if (this.sorted) {
      const { column, isDown } = this.sorted;
      this.sortedAt = performance.now();
      rows = rows.map((row, place) => [column.sort(row), place, row]);
      rows.sort((a, b) => (isDown ? compare(b[0], a[0]) : compare(a[0], b[0])) || a[1] - b[1]);
      rows = rows.map((each) => each[2]);
    }
    this.wanted = rows;
    if (!this.isFilling) this.#fill(0);
  }

  /** Put the rows in their places from the first on, some at a time. */
  #fill(start) {
    this.isFilling = true;
    let made = 0;
    let place =
      start === 0 ? this.body.firstElementChild : this.rows.get(this.keyOf(this.wanted[start - 1]))?.element.nextElementSibling;
    if (start > 0 && place === undefined) return this.#fill(0); // the row before is gone meanwhile
    for (let index = start; index < this.wanted.length; index += 1) {
      const data = this.wanted[index];
      let row = this.rows.get(this.keyOf(data));
      if (!row) {
        if (made === ROWS_A_SLICE) {
          setTimeout(() => this.#fill(Math.min(index, this.wanted.length)), 0);
          return undefined;
        }
        made += 1;
        row = new Row(this.columns, data);
        row.show(this.filter);
        this.rows.set(this.keyOf(data), row);
        this.seen.observe(row.element);
      }
      if (row.element === place) place = place.nextElementSibling;
      else this.body.insertBefore(row.element, place);
    }
    this.isFilling = false;
    this.onFilled();
    return undefined;
  }

  #onSeen(entries) {
    for (const entry of entries) entry.target.row?.setSeen(entry.isIntersecting);
  }
}

/** Numbers by size, words as in a dictionary, what is unknown at the end of an ascending order. */
function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}
