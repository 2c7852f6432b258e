// What is said of a prompt: advice, proposals, bars.

const SOURCES = {
  model: ["Model", "large, not tiny"],
  prompt: ["Prompt", "eight clicks, not one"],
  task: ["Task", "best proposal, not this"],
};

const COSTS = ["click", "larger_model", "person"];

const FULL_BAR = 0.5; // gain in IoU that fills a bar

const byId = (id) => document.getElementById(id);
const signed = (gain) => {
  const digits = Math.abs(gain).toFixed(2);
  return `${gain < 0 && Number(digits) ? "−" : "+"}${digits}`;
};

// Models that the heads know, from small to large: one alone has no larger one.
export function knowModels(known) {
  const [smallest, largest] = [known[0], known.at(-1)].map((name) => name.replace("_", " "));
  SOURCES.model[1] = `${largest}, not ${smallest}`;
  byId("asking").textContent = largest;
  byId("asking").parentElement.hidden = known.length < 2;
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const inputOf = (name) => byId(`cost-${name}`);

// What corrections cost, in IoU, as the user has it.
export const costs = () => Object.fromEntries(COSTS.map((name) => [name, inputOf(name).valueAsNumber]));

// `changed` is called when the user has chosen other costs; what is no cost gives way to the usual one.
export function offerCosts(usual, changed) {
  for (const name of COSTS) {
    const input = inputOf(name);
    input.value = usual[name];
    input.addEventListener("change", () => {
      if (!input.checkValidity()) input.value = usual[name];
      changed();
    });
  }
}

function because({ selected, advice, alternative, proposals }) {
  const own = proposals[selected].expected_iou.own.toFixed(2);
  const then = advice.expected_iou.toFixed(2);
  const of = `Proposal ${selected} has the highest SamScore; its expected IoU is ${own}`;
  if (advice.correction === "none") return `${of}, but the heads cannot judge this image.`;
  if (advice.correction === "keep") return `${of}. No correction is expected to gain more than it costs.`;
  if (advice.correction === "task") return `${of}. Proposal ${alternative} has ${then}.`;
  return `${of}. After it, ${then} is expected.`;
}

export function showAdvice(found) {
  const words = byId("words");
  const { advice } = found;
  words.textContent = `${advice.words[0].toUpperCase()}${advice.words.slice(1)}.`;
  words.classList.toggle("keep", advice.correction === "keep");
  const gate = { true: " The heads' gate keeps it.", false: " The heads' gate does not keep it." };
  const promise = found.is_kept === null ? "" : `${gate[found.is_kept]} ${found.gate}`;
  byId("because").textContent = [because(found) + promise, found.set].filter(Boolean).join(" ");
  byId("caution").textContent = found.caution && `${found.caution[0].toUpperCase()}${found.caution.slice(1)}.`;
  byId("caution").hidden = !found.caution;
}

// `follow` is a button's words and what it does, where the page itself can follow the advice.
export function showFollow(follow) {
  const button = byId("follow");
  // A button that goes while it has the focus would leave the keyboard nowhere.
  if (!follow && document.activeElement === button) byId("canvas").focus();
  button.hidden = !follow;
  if (follow) [button.textContent, button.onclick] = follow;
}

export function showNothing(words) {
  byId("words").textContent = words;
  byId("words").classList.remove("keep");
  byId("because").textContent = "";
  byId("caution").hidden = true;
  byId("which").textContent = "–";
  byId("facts").replaceChildren();
  byId("proposals").replaceChildren(...[0, 1, 2].map(() => emptyProposal()));
  showBars(null);
  showFollow(null);
}

function emptyProposal() {
  const canvas = element("canvas", { width: 1, height: 1, ariaHidden: "true" });
  return element("div", { className: "proposal", ariaHidden: "true" }, canvas, element("b", {}, "–"), element("small", {}, "expected IoU"));
}

export function showProposals(found, chosen, paint, choose) {
  const made = found.proposals.map((proposal, k) => {
    const own = proposal.expected_iou.own.toFixed(2) + (found.advice.correction === "none" ? "?" : "");
    const input = element("input", { type: "radio", name: "proposal", value: k, checked: k === chosen });
    const mark = k === found.selected ? ", highest SamScore" : "";
    input.ariaLabel = `Proposal ${k}, expected IoU ${own}, ${(100 * proposal.area).toFixed(0)} % of the image${mark}`;
    input.addEventListener("change", () => choose(k));
    const canvas = paint(k);
    canvas.ariaHidden = "true";
    const lines = ["expected IoU", `proposal ${k}`, ...(k === found.selected ? ["selected"] : [])];
    const under = element("small", {}, ...lines.flatMap((line) => [line, element("br")]));
    return element("label", { className: "proposal" }, input, canvas, element("b", {}, own), under);
  });
  byId("proposals").replaceChildren(...made);
}

export function showChosen(found, chosen) {
  const proposal = found.proposals[chosen];
  byId("proposals").querySelectorAll("input")[chosen].checked = true;
  byId("which").textContent = chosen;
  const facts = {
    SamScore: proposal.sam_score.toFixed(2),
    H_Std: `${proposal.h_std.toFixed(2)} bits`,
    H_A: `${found.h_a.toFixed(2)} bits`,
    area: `${(100 * proposal.area).toFixed(1)} %`,
  };
  const rows = Object.entries(facts).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  byId("facts").replaceChildren(...rows);
  showBars(proposal);
}

function showBars(proposal) {
  const hasLarger = !byId("asking").parentElement.hidden;
  const shown = Object.entries(SOURCES).filter(([source]) => source !== "model" || hasLarger);
  const rows = shown.flatMap(([source, [name, words]]) => {
    const gains = proposal ? [proposal.gap[source], proposal.direct_gap[source]] : [null, null];
    const [gap, direct] = gains.map((gain) => (gain === null ? "–" : signed(gain)));
    const head = element("th", { scope: "row" }, `${name} `, element("span", { className: "muted small" }, words));
    const first = element("td", { className: "numbers" }, element("b", {}, gap));
    const second = element("td", { className: "numbers muted small" }, `Δ* ${direct}`);
    const bar = element("div", { className: "bar" }, ...gains.map((gain) => {
      const piece = element("i");
      piece.style.width = `${100 * Math.min(Math.max((gain ?? 0) / FULL_BAR, 0), 1)}%`;
      return piece;
    }));
    const drawn = element("td", { colSpan: 3 }, bar);
    const below = element("tr", { ariaHidden: "true" }, drawn);
    return [element("tr", {}, head, first, second), below];
  });
  byId("bars").replaceChildren(...rows);
}
