// Requests to the server that the page came from.

const KEY = "usam-token";

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given); // for when the page is loaded again
    history.replaceState(null, "", location.pathname);
  }
  return given ?? sessionStorage.getItem(KEY);
}

const token = takeToken();

// Errors tell the server's words: they say what must be otherwise.
export async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(`/api/${path}`, { headers, cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: is usam demo still running?");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error ?? `The server failed (${response.status}).`);
}

export const askJson = async (path, options) => (await ask(path, options)).json();

const POLL_MS = 400;

// One request at a time: a newer one gives up the one before it, here and in the server's queue.
export class Turn {
  #abort = null;
  #tell;

  constructor(tell) {
    this.#tell = tell; // called with the queue; null when it is over
  }

  async take(path, options = {}) {
    this.giveUp();
    const abort = new AbortController();
    this.#abort = abort;
    const polls = new AbortController(); // its own: to abort the request's would cut its answer
    const poll = setInterval(() => this.#look(polls.signal), POLL_MS);
    try {
      return await ask(path, { ...options, signal: abort.signal });
    } finally {
      clearInterval(poll);
      polls.abort();
      if (this.#abort === abort) this.#tell(null);
    }
  }

  giveUp() {
    this.#abort?.abort();
  }

  async #look(signal) {
    try {
      this.#tell(await askJson("queue", { signal }));
    } catch {
      // The request itself tells what is wrong.
    }
  }
}
