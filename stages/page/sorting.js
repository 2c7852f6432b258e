// Tables of the class "sortable" get a button in the head of each column; without this script they
// are plain tables.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, heads, column));
  });
}

/** Sort by a column: numbers fall at first and names rise; once more turns the order round. */
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
  return isNumber ? Number.parseFloat(cell.dataset.value) : cell.textContent.trim();
}

/** A missing number comes last in either order. */
function compare(a, b, sign) {
  if (typeof a === "string") return sign * a.localeCompare(b, "en");
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
}
