// Keeps one copy of the document up to date: by the stream, or by asking again and again where a stream is not to be had.
// Runs in the shared worker, or in the page where there is none. It says how the connection stands, and since when.

import { readEvents } from "./event_stream.js";
import { History } from "./history.js";
import { mergePatch } from "./merge_patch.js";
import { LostError, RefusedError, SilentError, get } from "./request.js";

const SILENCE_MS = 5000; // of a stream that brings something every second
const POLL_MS = 2000;
const STREAM_AGAIN_MS = 30000; // while polling
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const SILENT_STREAMS = 2; // in a row: something on the way holds events back (a buffering proxy)

export class Feed {
  /** `deliver(message)` gets {kind: state|delta|history|link, ...}. */
  constructor(deliver, { mayStream = true } = {}) {
    this.deliver = deliver;
    this.mayStream = mayStream;
    this.document = null;
    this.history = new History();
    this.link = { state: "connecting", since: Date.now() };
    this.failures = 0;
    this.silent = 0;
    this.isStopped = false;
    this.abort = null;
    this.wake = null;
    this.pollUntil = 0;
    this.heardAt = Date.now();
  }

  /** Run until stopped. */
  async run() {
    while (!this.isStopped) {
      const isPolling = !this.mayStream || Date.now() < this.pollUntil;
      try {
        if (isPolling) await this.#poll();
        else await this.#stream();
      } catch (error) {
        if (this.isStopped) return;
        await this.#recover(error);
      }
    }
  }

  stop() {
    this.isStopped = true;
    this.abort?.abort();
    this.wake?.();
  }

  /** Try at once: somebody has signed in, or has pressed the button. */
  retry() {
    this.failures = 0;
    this.isRetried = true;
    this.abort?.abort();
    this.wake?.();
  }

  /** All that a new reader needs. */
  messages() {
    const known = this.document
      ? [
          { kind: "state", document: this.document },
          { kind: "history", points: this.history.points },
        ]
      : [];
    return [...known, { kind: "link", link: this.link }];
  }

  async #stream() {
    const response = await this.#get("stream", "text/event-stream");
    let hasCome = false;
    let watch = 0;
    const limit = () => Math.max(SILENCE_MS, 4000 * (this.document?.interval_seconds ?? 1));
    const watched = () => {
      clearTimeout(watch);
      watch = setTimeout(() => this.abort?.abort(new SilentError(hasCome)), limit());
    };
    watched();
    try {
      await readEvents(response, (name, data) => {
        hasCome = true;
        watched(); // a comment alone is no sign that the figures still come
        this.silent = 0;
        this.failures = 0;
        this.#take(name, JSON.parse(data));
      });
    } catch (error) {
      throw this.abort?.signal.reason instanceof SilentError ? this.abort.signal.reason : error;
    } finally {
      clearTimeout(watch);
      this.abort?.abort(); // also after an event that ends it: the connection must not stay open
    }
    throw new LostError("the instance has ended the connection");
  }

  #take(name, data) {
    if (name === "state") {
      this.#replace(data);
    } else if (name === "history") {
      this.history.replace(data);
      this.deliver({ kind: "history", points: this.history.points });
    } else if (name === "delta" && this.document) {
      mergePatch(this.document, data);
      this.history.append(data.at, this.document.totals);
      this.deliver({ kind: "delta", patch: data });
    } else if (name === "end") {
      throw new LostError(data.text, data.why);
    }
    if (name !== "history") this.#setLink({ state: "live" });
  }

  #replace(document) {
    this.document = document;
    this.history.append(document.at, document.totals);
    this.deliver({ kind: "state", document });
  }

  /** One question and the wait after it. */
  async #poll() {
    const response = await this.#get("state", "application/json");
    const document = await response.json();
    const isFirst = !this.document;
    this.#replace(document);
    if (isFirst) {
      const past = await this.#get("history", "application/json");
      this.#take("history", await past.json());
    }
    this.failures = 0;
    const text = this.mayStream
      ? this.pollReason
      : "This browser can't share one connection among tabs, so the figures come every two seconds.";
    this.#setLink({ state: "polling", text });
    await this.#sleep(POLL_MS);
  }

  #get(name, type) {
    this.abort = new AbortController();
    return get(name, type, this.abort);
  }

  /** Say what is wrong, and wait for the next try. */
  async #recover(error) {
    if (this.isRetried) {
      this.isRetried = false;
      return;
    }
    if (error instanceof RefusedError && (error.status === 401 || error.status === 403)) {
      this.document = null; // what was seen is not for who may not see it
      this.#setLink({ state: error.status === 401 ? "sign-in" : "refused", text: error.message });
      await this.#sleep(error.status === 401 ? 0 : 10000); // 401: until somebody signs in
      return;
    }
    if (error instanceof LostError && (error.why === "session" || error.why === "tokens")) return; // the next try says 401, or works
    if (error instanceof SilentError && !error.hasCome && (this.silent += 1) >= SILENT_STREAMS) {
      this.#pollFor("Something between here and the instance holds its stream back, so the figures come every two seconds.");
      return;
    }
    if (error instanceof RefusedError && error.status === 503 && this.mayStream) {
      this.#pollFor("The instance has as many open dashboards as it takes, so the figures come every two seconds.");
      return;
    }
    this.failures += 1;
    const longest = Math.min(FIRST_WAIT_MS * 2 ** (this.failures - 1), LONGEST_WAIT_MS);
    const wait = longest * (0.5 + Math.random() / 2); // jitter: not all tabs of all operators in the same moment
    if (this.link.state === "live" || this.link.state === "polling") this.history.gap((this.document?.at ?? 0) + 0.001);
    const isTold = error instanceof LostError || error instanceof SilentError || error instanceof RefusedError;
    this.#setLink({ state: "lost", text: isTold ? error.message : "the connection has broken" }); // the browser's words vary
    await this.#sleep(wait);
  }

  #pollFor(reason) {
    this.pollReason = reason;
    this.pollUntil = Date.now() + STREAM_AGAIN_MS;
  }

  /** `since` stays while the state does. */
  #setLink(link) {
    const isSame = link.state === this.link.state;
    if (link.state === "live" || link.state === "polling") this.heardAt = Date.now();
    if (isSame && link.state === "live") return;
    // Contact is lost since the last word that came, not since it was missed.
    const since = isSame ? this.link.since : link.state === "lost" ? this.heardAt : Date.now();
    this.link = { ...link, since };
    this.deliver({ kind: "link", link: this.link });
  }

  /** 0: until retry() or stop(). */
  #sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds ? setTimeout(resolve, milliseconds) : 0;
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
