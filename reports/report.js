"use strict";
// Click a column's title to sort by it: first the better direction is unknown, so ascending.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const [p, q] = [parseFloat(x), parseFloat(y)];
        if (Number.isNaN(p) !== Number.isNaN(q)) return Number.isNaN(p) ? 1 : -1;
        return (down ? -1 : 1) * (Number.isNaN(p) ? x.localeCompare(y) : p - q);
      };
      const body = table.tBodies[0];
      [...body.rows].sort(compare).forEach((row) => {
        row.classList.remove("ruled");
        body.append(row);
      });
    });
  });
}
// The comparer shows two of the panels that are already on the page, one over the other.
for (const box of document.querySelectorAll(".compare")) {
  box.hidden = false;
  const rows = [...document.getElementById(box.dataset.grid).querySelectorAll(".panels")];
  const [image, left, right] = box.querySelectorAll("select");
  const [below, top] = box.querySelectorAll("img");
  const stage = box.querySelector(".stage");
  const show = () => {
    const panels = [...rows[image.value].querySelectorAll("img")];
    for (const [target, choice] of [[top, left], [below, right]]) {
      const panel = panels.find((one) => one.dataset.name === choice.value);
      target.src = panel ? panel.src : "";
      target.alt = panel ? panel.alt : choice.value + " has no image here";
    }
  };
  for (const choice of [image, left, right]) choice.addEventListener("change", show);
  box.querySelector("input").addEventListener("input", (event) =>
    stage.style.setProperty("--at", event.target.value + "%"));
  show();
}
