// JSON Merge Patch (RFC 7396), in place: null removes, an object merges, all else replaces.

export function mergePatch(target, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      delete target[key];
    } else if (isObject(value)) {
      // Own keys alone: a backend may be called "constructor" or "__proto__".
      const before = Object.hasOwn(target, key) ? target[key] : undefined;
      define(target, key, mergePatch(isObject(before) ? before : {}, value));
    } else {
      define(target, key, value);
    }
  }
  return target;
}

function define(target, key, value) {
  if (key === "__proto__") Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  else target[key] = value;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
