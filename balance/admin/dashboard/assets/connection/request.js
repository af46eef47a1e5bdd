// One question to the instance, and the three ways in which it fails.

const BASE = new URL("../../", import.meta.url); // /dashboard/
const CONNECT_LIMIT_MS = 8000;

/** Nobody answers, or the connection has ended; `why` is the word of an `end` event. */
export class LostError extends Error {
  constructor(message, why = "") {
    super(message);
    this.why = why;
  }
}

/** The connection stands and nothing comes; `hasCome`: nothing more comes. */
export class SilentError extends Error {
  constructor(hasCome) {
    super("the instance has said nothing for some seconds");
    this.hasCome = hasCome;
  }
}

/** The instance answers, and says no. */
export class RefusedError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The response, whose body may still come. Throws one of the above. */
export async function get(name, type, abort) {
  const limit = setTimeout(() => abort.abort(new LostError("the instance does not answer")), CONNECT_LIMIT_MS);
  try {
    const response = await fetch(new URL(name, BASE), { headers: { Accept: type }, cache: "no-store", signal: abort.signal });
    if (response.ok) return response;
    const body = await response.json().catch(() => ({}));
    throw new RefusedError(response.status, body.error ?? `status ${response.status}`);
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    throw abort.signal.aborted && abort.signal.reason instanceof Error
      ? abort.signal.reason
      : new LostError("the instance can't be reached");
  } finally {
    clearTimeout(limit);
  }
}
