// The page: takes what the feed brings, and lets each part show it. Parts that take long get a turn of the event loop of
// their own, so that none of them makes the page late for keys and clicks. A hidden tab draws nothing.

import { Charts } from "./charts/charts.js";
import { openLink } from "./connection/link.js";
import { mergePatch } from "./connection/merge_patch.js";
import { askAboutBackend, askAboutReload, askAboutSwitch } from "./controls/backend_choices.js";
import { Confirmation } from "./controls/confirmation.js";
import { signOut } from "./controls/session.js";
import { SignIn } from "./controls/sign_in.js";
import { Notices } from "./notices.js";
import { Overview, write } from "./overview.js";
import { BackendTable } from "./tables/backend_table.js";
import { Sections } from "./tables/sections.js";
import { Picture } from "./traffic/picture.js";
import { contactShort } from "./words/contact.js";

const $ = (id) => document.getElementById(id);

class Dashboard {
  constructor() {
    this.state = null;
    this.link = { state: "connecting", since: Date.now() };
    this.isDue = false;
    this.notices = new Notices(() => this.tell("retry"));
    this.confirmation = new Confirmation($("confirmation"), {
      onDone: (text) => this.notices.say(text),
      onSignIn: (text) => this.signIn.open(text),
    });
    this.signIn = new SignIn($("sign-in-dialog"), () => this.tell("retry"));
    this.overview = new Overview();
    this.charts = new Charts($("charts"));
    this.picture = new Picture($("picture"));
    this.backends = new BackendTable($("backends"), (backend, what) => askAboutBackend(this.confirmation, backend, what));
    this.sections = new Sections((route) => askAboutSwitch(this.confirmation, route));
    $("reload").addEventListener("click", () => askAboutReload(this.confirmation, this.state.instance));
    $("sign-in").addEventListener("click", () => this.signIn.open());
    $("sign-out").addEventListener("click", () => this.#signOut());
    document.querySelector("form.search").addEventListener("submit", (event) => event.preventDefault());
    this.tell = openLink((message) => this.#take(message));
    setInterval(() => write("contact", contactShort(this.link)), 1000);
  }

  #take(message) {
    switch (message.kind) {
      case "state":
        this.notices.compare(this.state, message.document);
        this.state = message.document;
        this.charts.push(this.state.at, this.state.totals);
        this.#schedule();
        break;
      case "history":
        this.charts.replace(message.points);
        this.#schedule();
        break;
      case "delta":
        if (!this.state) break;
        mergePatch(this.state, message.patch);
        this.charts.push(this.state.at, this.state.totals);
        this.#schedule();
        break;
      case "link":
        this.#setLink(message.link);
        break;
      default:
    }
  }

  #setLink(link) {
    this.link = link;
    document.body.dataset.contact = link.state;
    write("contact", contactShort(link));
    this.notices.contact(link, this.state?.instance.stage);
    if (link.state === "lost" && this.state) this.charts.push(this.state.at + 0.001, {}); // the lines break here
    if (link.state === "sign-in") this.signIn.open();
    if (link.state === "live" || link.state === "polling") this.signIn.close();
    $("sign-in").hidden = link.state !== "sign-in";
  }

  async #signOut() {
    await signOut();
    this.tell("retry");
    location.reload(); // forgets what is on the screen, too
  }

  #schedule() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => this.#draw()); // not called while the tab is hidden
  }

  async #draw() {
    const parts = [
      () => this.overview.update(this.state),
      () => this.#viewer(),
      ...this.charts.parts,
      () => this.backends.update(this.state),
      () => this.picture.update(this.state),
      () => this.sections.update(this.state),
      () => this.notices.changes(this.state),
    ];
    for (const part of parts) {
      if (this.state) part();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    this.isDue = false;
  }

  /** Orders are offered to who may give them. */
  #viewer() {
    const viewer = this.state.viewer ?? {};
    const mayChange = Boolean(viewer.may_change);
    document.body.classList.toggle("read-only", !mayChange);
    $("reload").disabled = !mayChange;
    $("sign-out").hidden = !viewer.signed_in;
    write(
      "access",
      `${viewer.name ?? (viewer.needs_token ? "signed in" : "no token needed")}, ${mayChange ? "may change" : "may look alone"}`,
    );
  }
}

new Dashboard();
