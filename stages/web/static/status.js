// What the page says of its work: what was refused, and whether the model is waited for.

export const byId = (id) => document.getElementById(id);

export function tell(words) {
  byId("fault").textContent = words;
  byId("fault").hidden = !words;
}

// Runs what may be refused, and says whether it was; the words of a refusal are shown. What is given
// up says nothing.
export async function isRefused(work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (error.name !== "Error") throw error;
    tell(error.message);
    return true;
  }
  return false;
}

export function showBusy(queue) {
  byId("busy").hidden = queue === null;
  if (queue) byId("busy").textContent = queue.length > 1 ? "Waiting" : "Working";
}
