// Tables: click a title to sort by that column, type to filter the rows.
// Both are set up when a table can be seen, so closed sections cost nothing.
const FILTER_FROM = 6; // rows: below that a filter is in the way

function setUpTable(table) {
  if (table.dataset.ready || !table.tHead || !table.tBodies.length) return;
  table.dataset.ready = "yes";
  const body = table.tBodies[0];
  const original = [...body.rows];
  // Outputs are announced by screen readers when they change; the order can be seen in the title.
  const [said, order] = ["said", "unseen"].map((name) =>
    Object.assign(document.createElement("output"), { className: name }));
  const state = { column: -1, down: false };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      nextOrder(state, column);
      applyOrder(table, original, state);
      order.textContent = state.column < 0 ? "Original order" :
        `Sorted by ${button.textContent.trim()}, ${state.down ? "descending" : "ascending"}`;
    });
  });
  const tools = document.createElement("div");
  if (original.length >= FILTER_FROM) {
    tools.className = "tools";
    tools.append(makeFilter(table, original, said), said);
  }
  tools.append(order);
  (table.closest(".scroll") ?? table).before(tools);
}

// Ascending, then descending, then as it was.
function nextOrder(state, column) {
  if (state.column !== column) Object.assign(state, { column, down: false });
  else if (!state.down) state.down = true;
  else state.column = -1;
}

function applyOrder(table, original, state) {
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    if (i === state.column) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  const sorted = state.column < 0 ? original : sortedRows(original, state);
  table.classList.toggle("sorted", state.column >= 0); // hides the rules between groups
  table.tBodies[0].append(...sorted);
}

const GAPS = ["", "–"];
const ORDER = new Intl.Collator("en", { numeric: true });

// Numbers by value where every entry is a number; else as text. Gaps come last either way.
function sortedRows(rows, { column, down }) {
  const keyed = rows.map((row) => {
    const cell = row.cells[column];
    return [(cell.dataset.key ?? cell.textContent).trim(), row];
  });
  const gaps = keyed.filter(([key]) => GAPS.includes(key));
  const full = keyed.filter(([key]) => !GAPS.includes(key));
  const numeric = full.every(([key]) => !Number.isNaN(Number(key)));
  const sign = down ? -1 : 1;
  full.sort(([a], [b]) => sign * (numeric ? Number(a) - Number(b) : ORDER.compare(a, b)));
  return [...full, ...gaps].map(([, row]) => row);
}

// Rows stay that hold every word that was typed; Escape shows all again.
function makeFilter(table, rows, said) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "search";
  const name = table.closest("[aria-label]")?.getAttribute("aria-label") ?? "table";
  input.setAttribute("aria-label", `Filter rows. ${name}`);
  label.append("Filter ", input);
  let texts = null;
  const apply = () => {
    texts ??= rows.map((row) => row.textContent.toLowerCase());
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    rows.forEach((row, i) => {
      row.hidden = !words.every((word) => texts[i].includes(word));
      left += !row.hidden;
    });
    said.textContent = words.length ? `${left} of ${rows.length} rows` : "";
  };
  input.addEventListener("input", apply);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    input.value = "";
    apply();
  });
  return label;
}

function setUpVisibleTables(root) {
  for (const table of root.querySelectorAll("table:not([data-own])")) {
    if (!table.closest("details:not([open])")) setUpTable(table);
  }
}

setUpVisibleTables(document);
document.addEventListener("toggle", (event) => {
  if (event.target.open) setUpVisibleTables(event.target);
}, true);
