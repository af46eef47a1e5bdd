// What the banner says about the connection to the instance.

import { clock, duration } from "./format.js";

/** {kind: "" | "lost" | "note", text} for the state of the link; `stage` is the instance's. */
export function contactWords(link, stage = "") {
  switch (link.state) {
    case "lost":
      return {
        kind: "lost",
        text: `Contact lost since ${clock(new Date(link.since))}: ${link.text}. What is shown is from then. It goes on by itself when the instance is back.`,
      };
    case "sign-in":
      return { kind: "lost", text: "Sign in to see anything here." };
    case "refused":
      return { kind: "lost", text: `Not shown to you from here: ${link.text}` };
    case "polling":
      return { kind: "note", text: link.text };
    case "connecting":
      return { kind: "note", text: "Connecting…" };
    default:
      return stage === "draining"
        ? { kind: "note", text: "The instance drains: it takes nothing new and will end." }
        : { kind: "", text: "" };
  }
}

/** In a few words, for the header. Changes each second while contact is lost, so it is not read aloud. */
export function contactShort(link) {
  const seconds = (Date.now() - link.since) / 1000;
  switch (link.state) {
    case "live":
      return "● live";
    case "polling":
      return "◐ every 2 s";
    case "lost":
      return `✕ no contact for ${duration(Math.round(seconds))}`;
    default:
      return "○ not connected";
  }
}

/** What a restart has changed, or "". */
export function restartWords(before, after) {
  if (!before) return "";
  if (before.id !== after.id)
    return `This is a new instance: it was started at ${clock(new Date(after.started_at * 1000))}, and its counters begin anew.`;
  if (before.control_id !== after.control_id) return "The control process was replaced; traffic went on meanwhile.";
  return "";
}
