// The shared worker: one stream for all tabs of this browser, since HTTP/1.1 gives a host six connections and a seventh tab
// would wait without a word. It also works on plain http under any address, where Web Locks and service workers do not.

import { Feed } from "./feed.js";

const SILENT_TAB_MS = 180000; // a worker is not told of a tab that crashed; hidden tabs run their timers once a minute

const tabs = new Map(); // port -> {isShown, heardAt}
const feed = new Feed((message) => {
  for (const [port, tab] of tabs) if (tab.isShown || message.kind === "link") port.postMessage(message);
});
feed.run();

self.onconnect = (event) => {
  const [port] = event.ports;
  tabs.set(port, { isShown: true, heardAt: Date.now() });
  port.onmessage = ({ data }) => take(port, data);
  welcome(port);
};

function welcome(port) {
  for (const message of feed.messages()) port.postMessage(message);
}

function take(port, kind) {
  const tab = tabs.get(port) ?? { isShown: true, heardAt: 0 };
  tabs.set(port, tab);
  tab.heardAt = Date.now();
  switch (kind) {
    case "shown":
      tab.isShown = true;
      welcome(port); // it has missed what came meanwhile
      break;
    case "hidden":
      tab.isShown = false;
      break;
    case "retry":
      feed.retry();
      break;
    case "bye":
      tabs.delete(port);
      break;
    default: // "here"
  }
  const oldest = Date.now() - SILENT_TAB_MS;
  for (const [other, { heardAt }] of tabs) if (heardAt < oldest) tabs.delete(other);
}
