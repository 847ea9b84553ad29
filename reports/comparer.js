// The comparer: any two models on any image, with the scores of both.
function readJson(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

function setUpComparer(box) {
  const part = (name) => box.querySelector(`[data-part="${name}"]`);
  const [testSet, image, left, right, metric] =
    ["set", "image", "left", "right", "metric"].map(part);
  const viewer = createViewer(part("stage"), part("slider"));
  const absent = [part("absent-left"), part("absent-right")];
  let data = null, files = null;

  const signed = (value, decimals) =>
    (value < 0 ? "−" : "+") + Math.abs(value).toFixed(decimals);
  const plain = (value, decimals) =>
    value === null ? "–" : value.toFixed(decimals).replace("-", "−");
  const score = (source, m, i) => data.sources[source].scores[m]?.[i] ?? null;
  // Right minus left at a metric, and in words which side is better; null where one has no score.
  const difference = (m, i) => {
    const [a, b] = [score(left.value, m, i), score(right.value, m, i)];
    if (a === null || b === null) return null;
    const spec = data.metrics[m];
    const gain = spec.higher ? b - a : a - b;
    const word = gain === 0 ? "equal" : gain > 0 ? "right is better" : "left is better";
    return { a, b, gain, word, text: signed(b - a, spec.decimals) };
  };
  // Images by how much better the right side is, best first; those without scores are left out.
  const ranked = () => data.images
    .map((name, i) => ({ i, name, found: difference(metric.value, i) }))
    .filter(({ found }) => found)
    .sort((p, q) => q.found.gain - p.found.gain);

  function fill(select, labels, chosen) {
    select.replaceChildren(...labels.map((label, i) => new Option(label, i, false, i === chosen)));
  }
  function fillImages() {
    const groups = [["In this file", data.inside],
      ["Beside the page, in images/", data.images.map((_, i) => i)
        .filter((i) => !data.inside.includes(i))]];
    image.replaceChildren(...groups.filter(([, members]) => members.length)
      .map(([label, members]) => {
        const group = document.createElement("optgroup");
        group.label = label;
        group.append(...[...members].sort((a, b) => a - b)
          .map((i) => new Option(data.images[i], i)));
        return group;
      }));
    image.value = data.inside[0] ?? 0;
  }
  function open(index) {
    data = readJson(`images-data-${index}`);
    files = null; // parsed when the first image is shown
    part("words").textContent = data.words;
    fillImages();
    fill(left, data.sources.map(({ label }) => label), data.left);
    fill(right, data.sources.map(({ label }) => label), data.right);
    fill(metric, data.metrics.map(({ title }) => title), data.metric);
    metric.disabled = !data.metrics.length;
    viewer.reset();
    show();
  }

  function showImage(side, source) {
    const { label, folder, lacks } = data.sources[source];
    const i = Number(image.value), target = viewer.images[side];
    const say = (text) => {
      target.hidden = Boolean(text);
      absent[side].hidden = !text;
      absent[side].textContent = text && `${side ? "Right" : "Left"}, ${label}: ${text}`;
    };
    files ??= readJson(`images-files-${testSet.value}`);
    const inside = files[`${source}/${i}`];
    const path = ["images", ...folder.split("/"), `${data.images[i]}.png`];
    const address = path.map(encodeURIComponent).join("/");
    target.alt = `${data.images[i]}, ${label}`;
    target.onerror = () => say(`this image is not here. It belongs to the file ${path.join("/")} ` +
      "beside the page: pass the whole report folder on, not the page alone.");
    if (lacks.includes(i)) say("no image was saved.");
    else if (inside) say(""), target.src = `data:image/png;base64,${inside}`;
    else if (HAS_ADDRESS) say(""), target.src = address;
    else target.onerror();
  }
  function showScores() {
    const i = Number(image.value);
    part("scores").replaceChildren(...data.metrics.map((spec, m) => {
      const row = document.createElement("tr"), found = difference(m, i);
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = `${spec.title} ${spec.arrow}`;
      head.setAttribute("aria-label",
        `${spec.title}, ${spec.higher ? "higher" : "lower"} is better`);
      row.append(head);
      const texts = [plain(score(left.value, m, i), spec.decimals),
        plain(score(right.value, m, i), spec.decimals), found?.text ?? "–", found?.word ?? ""];
      texts.forEach((text, k) => {
        const cell = row.insertCell();
        cell.textContent = text;
        cell.className = k < 3 ? "n" : "";
      });
      return row;
    }));
  }
  function showSummary() {
    const i = Number(image.value), m = Number(metric.value), found = difference(m, i);
    const scored = found ? `${data.metrics[m].title} ${found.text}, ${found.word}` : "not scored";
    const names = [left, right].map((side) => data.sources[side.value].label);
    part("status").textContent = `${data.images[i]} (${i + 1} of ${data.images.length}): ` +
      `${names[0]} on the left, ${names[1]} on the right: ${scored}.`;
    ["left", "right"].forEach((side, k) => { part(`name-${side}`).textContent = names[k]; });
  }
  function showRanking() {
    if (!part("ranking").open) return; // 100 rows are built when somebody looks
    part("ranked").replaceChildren(...ranked().map(({ i, name, found }) => {
      const row = document.createElement("tr"), head = document.createElement("th");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => go(i));
      head.scope = "row";
      head.append(button);
      row.append(head);
      const { decimals } = data.metrics[metric.value];
      for (const text of [plain(found.a, decimals), plain(found.b, decimals), found.text]) {
        const cell = row.insertCell();
        cell.textContent = text;
        cell.className = "n";
      }
      row.insertCell().textContent = found.word;
      return row;
    }));
  }
  function show() {
    showImage(0, Number(left.value));
    showImage(1, Number(right.value));
    showScores();
    showSummary();
    showRanking();
  }
  function go(i) {
    image.value = i;
    show();
  }
  const acts = {
    next: () => go((Number(image.value) + 1) % data.images.length),
    previous: () => go((Number(image.value) + data.images.length - 1) % data.images.length),
    best: () => { const all = ranked(); if (all.length) go(all[0].i); },
    worst: () => { const all = ranked(); if (all.length) go(all.at(-1).i); },
    swap: () => { [left.value, right.value] = [right.value, left.value]; show(); },
    "zoom-in": () => viewer.zoomBy(ZOOM_STEP),
    "zoom-out": () => viewer.zoomBy(1 / ZOOM_STEP),
    fit: () => viewer.reset(),
  };
  const keys = { n: "next", p: "previous", b: "best", w: "worst", x: "swap" };

  testSet.addEventListener("change", () => open(testSet.value));
  for (const choice of [image, left, right, metric]) choice.addEventListener("change", show);
  part("ranking").addEventListener("toggle", showRanking);
  box.addEventListener("click", (event) => acts[event.target.dataset.act]?.());
  box.addEventListener("keydown", (event) => {
    const typed = event.target.matches("select, input") || event.ctrlKey || event.metaKey;
    if (typed || event.altKey) return; // these have keys of their own
    if (viewer.key(event)) event.preventDefault();
    else acts[keys[event.key]]?.();
  });
  box.hidden = false;
  open(0);
}

const comparer = document.getElementById("comparer");
if (comparer) setUpComparer(comparer);
