// Requests to the server that the page came from.

const KEY = "usam-token";

function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    sessionStorage.setItem(KEY, token); // for when the page is loaded again
    history.replaceState(null, "", location.pathname);
  }
  return token ?? sessionStorage.getItem(KEY);
}

const token = takeToken();

// Errors have the server's words: they say what must be otherwise.
export async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(`/api/${path}`, { headers, cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: is usam still running?");
  }
  if (response.ok) return response;
  const refusal = await response.json().catch(() => ({}));
  throw new Error(refusal.error ?? `The server failed (${response.status}).`);
}

export const askJson = async (path, options) => (await ask(path, options)).json();

const POLL_MS = 400;

// Requests that wait for the model, with a look at its queue now and then.
export class Waiting {
  #n = 0;
  #tell;

  constructor(tell) {
    this.#tell = tell; // called with the queue; null when nothing is waited for
  }

  async ask(path, options) {
    this.#n += 1;
    const polls = new AbortController(); // its own: to abort the request's would cut its answer
    const poll = setInterval(() => this.#look(polls.signal), POLL_MS);
    try {
      return await ask(path, options);
    } finally {
      this.#n -= 1;
      clearInterval(poll);
      polls.abort();
      if (!this.#n) this.#tell(null);
    }
  }

  async #look(signal) {
    try {
      this.#tell(await askJson("queue", { signal }));
    } catch {
      // The request itself tells what is wrong.
    }
  }
}
