// What is said of the active object: advice, proposals, gains.

import { element } from "./editor.js";
import { byId } from "./status.js";

const SOURCES = {
  model: ["Model", "large, not tiny"],
  prompt: ["Prompt", "eight clicks, not one"],
  task: ["Task", "best proposal, not this"],
};

const COSTS = ["click", "larger_model", "person"];

// A chosen mask that is no proposal's own one comes after the three proposals.
const CHOSEN = 3;

export const placeOf = ({ proposal, cut }) => (cut === 0.5 ? proposal : CHOSEN);

const maskWords = (k) => (k === CHOSEN ? "chosen mask" : `proposal ${k}`);

const FULL_BAR = 0.5; // gain in IoU that fills a bar

const signed = (gain) => {
  const digits = Math.abs(gain).toFixed(2);
  return `${gain < 0 && Number(digits) ? "−" : "+"}${digits}`;
};

export const modelWords = (name) => name.replace("_", " ");

// Where the heads cannot judge an image, every number of theirs is marked.
const doubt = ({ can_judge: canJudge, proposals }) => (canJudge || !proposals[0].expected_iou ? "" : "?");

// Without heads, no IoU is expected: SamScores are shown in its place.
const scoreWords = ({ expected_iou: iou }) => (iou ? "expected IoU" : "SamScore");

export const scoreOf = ({ expected_iou: iou, sam_score: samScore }) => (iou ? iou.own : samScore);

export const shownIou = (answer, k) => scoreOf(answer.proposals[k]).toFixed(2) + doubt(answer);

// What the chosen mask is expected to gain over the selected one; empty for any other mask.
export function gainWords({ choice, selected }, k) {
  const isOther = choice && k === placeOf(choice) && k !== selected;
  return isOther ? `expected gain ${signed(choice.gain)}` : "";
}

// Models that the heads know, from small to large: one alone has no larger one.
export function knowModels(known) {
  const [smallest, largest] = [known[0], known.at(-1)].map(modelWords);
  SOURCES.model[1] = `${largest}, not ${smallest}`;
  byId("asking").textContent = `Asking “${largest}”`;
  byId("asking").parentElement.hidden = known.length < 2;
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

function because(answer) {
  const { selected, advice, choice, proposals } = answer;
  if (!proposals[0].expected_iou) return `Proposal ${selected} has the highest SamScore.`;
  const after = advice.expected_iou.toFixed(2);
  const of = `Proposal ${selected} has the highest SamScore; its expected IoU is ${shownIou(answer, selected)}`;
  if (!answer.can_judge) return `${of}, but the heads cannot judge this image.`;
  if (advice.correction === "none") return `${of}, but these heads cannot say whether to keep it.`;
  if (advice.correction === "keep") return `${of}. No correction is expected to gain more than it costs.`;
  if (advice.correction === "task") return `${of}. Proposal ${choice.proposal}, cut at a probability of ${choice.cut}, is expected to gain ${signed(choice.gain)}.`;
  return `${of}. After it, ${after} is expected.`;
}

const capital = (words) => `${words[0].toUpperCase()}${words.slice(1)}`;

export const sentence = (words) => `${capital(words)}.`;

function titled(number, isOneOfSeveral) {
  byId("advice-title").textContent = isOneOfSeveral ? `Advice on object ${number}` : "Advice";
}

export function showAnswer(answer, chosen, editor) {
  titled(editor.active.number, editor.objects.length > 1);
  showAdvice(answer);
  showProposals(answer, chosen, editor);
  showChosen(answer, chosen);
}

function showAdvice(answer) {
  const { advice, caution } = answer;
  byId("words").textContent = sentence(advice.words);
  byId("words").classList.toggle("keep", advice.correction === "keep");
  const gate = { true: " The heads' gate keeps it.", false: " The heads' gate does not keep it." };
  const promise = answer.is_kept === null ? "" : `${gate[answer.is_kept]} ${answer.gate}`;
  byId("because").textContent = [because(answer) + promise, answer.set].filter(Boolean).join(" ");
  byId("caution").textContent = caution && sentence(caution);
  byId("caution").hidden = !caution;
}

// `follow` is a button's words and what it does, where the page itself can follow the advice.
export function showFollow(follow) {
  const button = byId("follow");
  // A button that goes while it has the focus would leave the keyboard nowhere.
  if (!follow && document.activeElement === button) byId("canvas").focus();
  button.hidden = !follow;
  if (follow) [button.textContent, button.onclick] = follow;
}

export function showNothing(words, { number, isOneOfSeveral } = {}) {
  titled(number, isOneOfSeveral);
  byId("words").textContent = words;
  byId("words").classList.remove("keep");
  byId("because").textContent = "";
  byId("caution").hidden = true;
  byId("which").textContent = "a mask";
  byId("facts").replaceChildren();
  byId("proposals").replaceChildren(...[0, 1, 2].map(() => emptyProposal()));
  showGains(null);
  showFollow(null);
}

function emptyProposal() {
  const canvas = element("canvas", { width: 1, height: 1, ariaHidden: "true" });
  return element("div", { className: "proposal", ariaHidden: "true" }, canvas, element("b", {}, "–"), element("small", {}, "expected IoU"));
}

function showProposals(answer, chosen, editor) {
  const labels = answer.proposals.map((proposal, k) => {
    const iou = shownIou(answer, k);
    const input = element("input", { type: "radio", name: "proposal", value: k, checked: k === chosen });
    const gain = gainWords(answer, k);
    const mark = k === answer.selected ? ", highest SamScore" : gain && `, ${gain}`;
    input.ariaLabel = `${capital(maskWords(k))}, ${scoreWords(proposal)} ${iou}, ${(100 * proposal.area).toFixed(0)} % of the image${mark}`;
    input.addEventListener("change", () => editor.choose(k));
    const canvas = editor.thumbnail(k);
    canvas.ariaHidden = "true";
    const lines = [scoreWords(proposal), maskWords(k), k === answer.selected ? "selected" : gain].filter(Boolean);
    const under = element("small", {}, ...lines.flatMap((line) => [line, element("br")]));
    return element("label", { className: "proposal" }, input, canvas, element("b", {}, iou), under);
  });
  byId("proposals").replaceChildren(...labels);
}

export function showChosen(answer, chosen) {
  const proposal = answer.proposals[chosen];
  byId("proposals").querySelectorAll("input")[chosen].checked = true;
  byId("which").textContent = maskWords(chosen);
  const facts = {
    SamScore: proposal.sam_score.toFixed(2),
    H_Std: `${proposal.h_std.toFixed(2)} bits`,
    H_A: `${answer.h_a.toFixed(2)} bits`,
    area: `${(100 * proposal.area).toFixed(1)} %`,
    "answered by": `${answer.family} ${modelWords(answer.model)}`,
  };
  const rows = Object.entries(facts).map(([name, words]) => element("div", {}, element("dt", {}, name), element("dd", {}, words)));
  byId("facts").replaceChildren(...rows);
  showGains(proposal, doubt(answer));
}

function showGains(proposal, mark = "") {
  const hasLarger = !byId("asking").parentElement.hidden;
  const sources = Object.entries(SOURCES).filter(([source]) => source !== "model" || hasLarger);
  const rows = sources.flatMap(([source, [name, words]]) => {
    const gains = [proposal?.gap?.[source] ?? null, proposal?.direct_gap?.[source] ?? null];
    const [gap, direct] = gains.map((gain) => (gain === null ? "–" : signed(gain) + mark));
    const head = element("th", { scope: "row" }, `${name} `, element("span", { className: "muted small" }, words));
    const first = element("td", { className: "numbers" }, element("b", {}, gap));
    const second = element("td", { className: "numbers muted small" }, `Δ* ${direct}`);
    const bar = element("div", { className: "bar" }, ...gains.map((gain) => {
      const piece = element("i");
      piece.style.width = `${100 * Math.min(Math.max((gain ?? 0) / FULL_BAR, 0), 1)}%`;
      return piece;
    }));
    const below = element("tr", { ariaHidden: "true" }, element("td", { colSpan: 3 }, bar));
    return [element("tr", {}, head, first, second), below];
  });
  byId("bars").replaceChildren(...rows);
  byId("bars").classList.toggle("doubtful", Boolean(mark));
  byId("doubt").hidden = !mark;
}
