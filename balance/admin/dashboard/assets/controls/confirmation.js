// The dialog before an order: what will happen, asked of the instance itself by a dry run, and what became of it.

import { send } from "./orders.js";

export class Confirmation {
  /** `onDone(text)` after an order was carried out; `onSignIn()` when the instance knows us no more. */
  constructor(dialog, { onDone, onSignIn }) {
    this.dialog = dialog;
    this.title = dialog.querySelector("h2");
    this.choices = dialog.querySelector(".choices");
    this.weight = dialog.querySelector("#weight");
    this.weightRow = dialog.querySelector(".weight");
    this.says = dialog.querySelector(".says");
    this.refused = dialog.querySelector(".refused");
    this.confirm = dialog.querySelector(".confirm");
    this.onDone = onDone;
    this.onSignIn = onSignIn;
    this.asked = 0;
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#carryOut();
    });
    dialog.querySelector(".cancel").addEventListener("click", () => this.#close());
    dialog.addEventListener("cancel", () => this.#leave()); // Escape
    this.choices.addEventListener("change", () => this.#preview());
    this.weight.addEventListener("input", () => this.#preview());
  }

  /**
   * Ask about one of `options`: [{label, verb, text, also, order() or order(weight), hasWeight}]. The first is chosen.
   * `text` says what will happen until the instance has said it, `also` what it does not say.
   */
  open(title, options, { weight = 1, chosen = 0 } = {}) {
    this.options = options;
    this.title.textContent = title;
    this.weight.value = String(weight);
    this.choices.hidden = options.length < 2;
    this.choices.querySelectorAll("label").forEach((label) => label.remove());
    this.choices.append(...options.map((option, index) => choice(option.label, index, index === chosen)));
    this.confirm.disabled = false;
    this.dialog.showModal();
    (options.length < 2 ? this.confirm : this.choices.querySelector("input:checked")).focus();
    this.#preview();
  }

  get #option() {
    const checked = this.choices.querySelector("input:checked");
    return this.options[checked ? Number(checked.value) : 0];
  }

  #order() {
    return this.#option.order(this.weight.valueAsNumber);
  }

  async #preview() {
    const option = this.#option;
    const number = (this.asked += 1);
    this.weightRow.hidden = !option.hasWeight;
    this.confirm.textContent = option.verb;
    this.refused.replaceChildren();
    if (option.hasWeight && !this.weight.checkValidity()) {
      this.says.replaceChildren(line("A weight is a whole number, 0 or more."));
      return;
    }
    this.says.replaceChildren(line(option.text));
    const answer = await send(this.#order(), { isDryRun: true });
    if (number !== this.asked) return; // another choice meanwhile
    if (!answer.isDone) {
      this.#refuse(answer);
      return;
    }
    const parts = [line([answer.text || option.text, option.also].filter(Boolean).join(" "))];
    for (const warning of answer.warnings) parts.push(line(`▲ ${warning}`, "warning"));
    if (answer.changes.length) parts.push(lines(answer.changes));
    this.says.replaceChildren(...parts);
  }

  async #carryOut() {
    const option = this.#option;
    if (option.hasWeight && !this.weight.reportValidity()) return;
    const number = (this.asked += 1);
    this.confirm.disabled = true;
    this.refused.replaceChildren();
    const answer = await send(this.#order());
    this.confirm.disabled = false;
    if (answer.isDone)
      this.onDone(
        [`${this.title.textContent.replace(/\?$/, "")}: done.`, answer.text, ...answer.warnings].filter(Boolean).join(" "),
      );
    if (number !== this.asked) {
      if (!answer.isDone) this.onDone(`${this.title.textContent} ${answer.text}`);
    } else if (answer.isDone) {
      this.#close();
    } else {
      this.#refuse(answer);
      this.confirm.focus();
    }
  }

  /** The browser gives the focus back to what had it. */
  #close() {
    this.#leave();
    this.dialog.close();
  }

  /** What is on its way is answered to nobody. (Not at the dialog's `close` event: that comes late, when it may be open again.) */
  #leave() {
    this.asked += 1;
  }

  #refuse(answer) {
    this.refused.replaceChildren(line(answer.text), ...(answer.problems.length ? [lines(answer.problems)] : []));
    if (answer.needsSignIn) {
      this.#close();
      this.onSignIn(answer.text);
    }
  }
}

function choice(text, index, isChecked) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "radio";
  input.name = "choice";
  input.value = String(index);
  input.checked = isChecked;
  label.append(input, ` ${text}`);
  return label;
}

function line(text, className = "") {
  const made = document.createElement("p");
  made.textContent = text;
  made.className = className;
  return made;
}

function lines(texts) {
  const made = document.createElement("ul");
  made.className = "lines";
  made.tabIndex = 0; // long ones are scrolled, also by keyboard
  made.append(
    ...texts.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
  return made;
}
