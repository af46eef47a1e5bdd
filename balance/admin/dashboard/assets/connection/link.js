// The page's end of the feed: the shared worker, or a feed of its own that asks every two seconds where there is none.

import { Feed } from "./feed.js";

const PROTOCOL = 1; // of the messages between page and worker: a worker of an older page must not serve a newer one
const HERE_MS = 30000;

/** Calls `deliver(message)`. Returns what may be told: shown, hidden, retry. */
export function openLink(deliver) {
  let tell = null;
  const alone = () => {
    const feed = new Feed((message) => tell && deliver(message), { mayStream: false });
    let isShown = true;
    tell = (what) => {
      if (what === "retry") feed.retry();
      if (what === "hidden" || what === "bye") {
        isShown = false;
        feed.stop();
      }
      if (what === "shown" && !isShown) alone();
    };
    feed.run();
  };
  if (typeof SharedWorker === "undefined") {
    alone();
  } else {
    const worker = new SharedWorker(new URL("./shared_feed.js", import.meta.url), {
      type: "module",
      name: `balance-dashboard-${PROTOCOL}`,
    });
    worker.onerror = () => alone();
    worker.port.onmessage = ({ data }) => deliver(data);
    tell = (what) => worker.port.postMessage(what);
    setInterval(() => tell("here"), HERE_MS);
  }
  addEventListener("visibilitychange", () => tell(document.hidden ? "hidden" : "shown"));
  addEventListener("pagehide", () => tell("bye"));
  addEventListener("pageshow", (event) => event.persisted && tell("shown"));
  return (what) => tell(what);
}
