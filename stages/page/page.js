// What the page can do beyond links and folds. Without this script its tables cannot be sorted, and
// an enlarged picture closes by its link.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...[...table.tHead.rows].at(-1).cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, heads, column));
  });
}

/** Sort by a column: numbers fall and names rise at first; clicking again reverses the order. */
function sortBy(table, heads, column) {
  const head = heads[column];
  const isNumber = head.classList.contains("number");
  const first = isNumber ? "descending" : "ascending";
  const other = isNumber ? "ascending" : "descending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  for (const one of heads) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [keyOf(row.cells[column], isNumber), row]);
  rows.sort(([a], [b]) => compare(a, b, sign));
  body.append(...rows.map(([, row]) => row));
}

function keyOf(cell, isNumber) {
  return isNumber ? Number.parseFloat(cell.firstChild.data.replace("−", "-")) : cell.textContent.trim();
}

/** A missing number comes last in either order. */
function compare(a, b, sign) {
  if (typeof a === "string") return sign * a.localeCompare(b, "en");
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
}

// What an address names is unfolded.
function unfold() {
  for (let part = document.getElementById(location.hash.slice(1)); part; part = part.parentElement) {
    if (part.tagName === "DETAILS") part.open = true;
  }
}

window.addEventListener("hashchange", unfold);
unfold();

// The enlarged picture is the target of the address: Escape leaves it, arrows go to its neighbours.
const KEYS = { Escape: "close", ArrowLeft: "previous", ArrowRight: "next" };

document.addEventListener("keydown", (event) => {
  const picture = document.querySelector(".picture:target");
  const link = KEYS[event.key] && picture?.querySelector(`a.${KEYS[event.key]}`);
  if (!link) return;
  event.preventDefault();
  location.hash = link.hash;
  const shown = document.querySelector(".picture:target") ?? picture;
  shown.querySelector("a.enlarge").focus({ preventScroll: shown !== picture });
});

// A part wider than the screen can take the focus, so that arrow keys scroll it.
function focusScrolling() {
  for (const part of document.querySelectorAll(".scroll")) {
    if (part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight) {
      part.tabIndex = 0;
      part.role = "region";
      const caption = part.querySelector("caption");
      part.ariaLabel = caption ? caption.textContent : part.firstElementChild.ariaLabel;
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) part.removeAttribute(name);
    }
  }
}
addEventListener("resize", focusScrolling);
document.addEventListener("toggle", focusScrolling, true); // of details, which does not bubble
focusScrolling();
