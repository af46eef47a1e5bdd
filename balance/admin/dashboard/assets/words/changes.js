// What is worth telling a screen reader of: backends that leave and come back. Not figures.

/** Sentences about what differs between two readings of {key: is out}. */
export function stateChanges(before, backends) {
  const left = [];
  const back = [];
  for (const [key, backend] of Object.entries(backends)) {
    if (!before.has(key) || before.get(key) === backend.out) continue;
    (backend.out ? left : back).push(key);
  }
  return [told(left, "is out", "are out"), told(back, "is back", "are back")].filter(Boolean).join(" ");
}

function told(keys, one, many) {
  if (keys.length === 0) return "";
  if (keys.length === 1) return `Backend ${keys[0]} ${one}.`;
  return keys.length > 3 ? `${keys.length} backends ${many}.` : `Backends ${keys.join(", ")} ${many}.`;
}
