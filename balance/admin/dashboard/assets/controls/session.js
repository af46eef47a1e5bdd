// Who is signed in. The cookie of the session only reads; orders carry its key, which is kept where all tabs find it and is
// worth nothing once the session has ended.

const BASE = new URL("../../", import.meta.url); // /dashboard/
const STORED = "balance-dashboard-key";

/** {signed_in, ...} or {error}. */
export async function signIn(token) {
  const { isOk, body } = await ask("POST", { token });
  if (isOk && body.key) store(body.key);
  return isOk ? body : { error: body.error ?? "that did not work" };
}

export async function signOut() {
  store("");
  return (await ask("DELETE")).body;
}

/** The field of orders, if there is a key. */
export function authorization() {
  const key = stored();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function ask(method, values = undefined) {
  try {
    const headers = values ? { "Content-Type": "application/json" } : {};
    const response = await fetch(new URL("session", BASE), {
      method,
      headers,
      body: values && JSON.stringify(values),
      cache: "no-store",
    });
    const body = await response.json().catch(() => ({ error: `the instance answers with status ${response.status}` }));
    const wait = response.headers.get("Retry-After");
    if (!response.ok && wait) body.error = `${body.error}; try again in ${wait} s`;
    return { isOk: response.ok, body };
  } catch {
    return { isOk: false, body: { error: "The instance does not answer." } };
  }
}

// A browser may forbid storage: then the key lives as long as the page.
let unstored = "";

function store(key) {
  unstored = key;
  try {
    if (key) localStorage.setItem(STORED, key);
    else localStorage.removeItem(STORED);
  } catch {
    // kept above
  }
}

function stored() {
  try {
    return localStorage.getItem(STORED) ?? unstored;
  } catch {
    return unstored;
  }
}
