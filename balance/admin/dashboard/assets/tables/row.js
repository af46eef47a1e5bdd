// One row of a table, and its cells: made once, and written to only where the text has changed. What is out of sight is not
// written to until it is scrolled to.

export class Row {
  constructor(columns, data) {
    this.columns = columns;
    this.data = data;
    this.isSeen = true; // until the observer says otherwise
    this.isStale = false;
    this.element = element("tr");
    this.element.setAttribute("role", "row");
    this.element.row = this;
    this.cells = columns.map((column) => new Cell(column, data));
    this.element.append(...this.cells.map((cell) => cell.element));
  }

  take(data) {
    this.data = data;
    if (this.isSeen) this.#draw();
    else this.isStale = true; // drawn when it is scrolled to
  }

  setSeen(isSeen) {
    this.isSeen = isSeen;
    if (isSeen && this.isStale) this.#draw();
  }

  show(filter) {
    const isShown = !filter || filter(this.data);
    if (this.element.hidden === isShown) this.element.hidden = !isShown;
    return isShown;
  }

  #draw() {
    this.isStale = false;
    for (const cell of this.cells) cell.draw(this.data);
  }
}

class Cell {
  constructor(column, data) {
    this.column = column;
    this.element = element(column.isHead ? "th" : "td", classes(column));
    if (column.isHead) this.element.scope = "row";
    this.element.setAttribute("role", column.isHead ? "rowheader" : "cell");
    this.element.dataset.label = column.title;
    this.text = "";
    this.note = "";
    this.tone = "";
    if (column.fill) {
      column.fill(this.element, data);
    } else {
      this.main = element("span", "value");
      if (column.isLines) this.main.tabIndex = 0; // long ones are scrolled, also by keyboard
      this.element.append(this.main);
    }
    this.draw(data);
  }

  draw(data) {
    const { column } = this;
    if (column.fill) {
      column.refresh?.(this.element, data);
      return;
    }
    const text = column.text(data);
    if (text !== this.text) {
      this.text = text;
      this.main.textContent = text;
    }
    const note = column.note ? column.note(data) : "";
    if (note !== this.note) {
      this.note = note;
      this.second ??= this.element.appendChild(element("span", "note"));
      this.second.textContent = note;
    }
    const tone = column.tone ? column.tone(data) : "";
    if (tone !== this.tone) {
      if (this.tone) this.main.classList.remove(this.tone);
      if (tone) this.main.classList.add(tone);
      this.tone = tone;
    }
  }
}

export function classes(column) {
  return [column.isNumber ? "number" : "", column.isLines ? "lines" : "", column.className ?? ""].join(" ");
}

export function element(name, className = "") {
  const made = document.createElement(name);
  if (className) made.className = className.trim();
  return made;
}
