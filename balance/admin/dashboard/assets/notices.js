// What is told beside the figures: lost contact, a new instance, what became of an order, backends that left or came back.

import { contactWords, restartWords } from "./words/contact.js";
import { stateChanges } from "./words/changes.js";

const ANNOUNCE_MS = 5000; // a screen reader is told of changes at most so often

export class Notices {
  constructor(retry) {
    this.banner = document.getElementById("banner");
    this.notice = document.getElementById("notice");
    this.announcement = document.getElementById("announcement");
    this.wasOut = new Map();
    this.pending = [];
    this.announcedAt = -ANNOUNCE_MS;
    this.firstVersion = "";
    this.banner.querySelector("button").addEventListener("click", retry);
    this.notice.querySelector("button").addEventListener("click", () => this.#closeNotice());
  }

  /** How the connection stands. */
  contact(link, stage = "") {
    const { kind, text } = contactWords(link, stage);
    const words = this.banner.querySelector("p");
    if (words.textContent !== text) words.textContent = text;
    this.banner.classList.toggle("note", kind === "note");
    this.banner.querySelector("button").hidden = kind !== "lost" || link.state === "sign-in";
    this.banner.hidden = text === "";
  }

  /** A whole document after another: of the same instance? */
  compare(before, after) {
    const text = restartWords(before?.instance, after.instance);
    if (text) this.say(text);
    this.firstVersion ||= after.instance.version;
    if (after.instance.version !== this.firstVersion) {
      this.say(
        `The instance now runs version ${after.instance.version}, this page is of ${this.firstVersion}: load it anew.`,
        () => location.reload(),
        "Load anew",
      );
    }
  }

  /** One sentence that stays until it is closed. */
  say(text, action = () => {}, button = "Close") {
    this.action = action;
    this.notice.querySelector("p").textContent = text;
    this.notice.querySelector("button").textContent = button;
    this.notice.hidden = false;
  }

  /** Backends that left or came back since the last time. */
  changes(state) {
    const text = stateChanges(this.wasOut, state.backends);
    this.wasOut = new Map(Object.entries(state.backends).map(([key, backend]) => [key, backend.out]));
    if (text) this.pending.push(text);
    if (this.pending.length === 0 || performance.now() - this.announcedAt < ANNOUNCE_MS) return;
    this.announcedAt = performance.now();
    this.announcement.textContent = this.pending.splice(0).slice(-3).join(" ");
  }

  #closeNotice() {
    this.notice.hidden = true;
    this.action?.();
  }
}
