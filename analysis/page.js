"use strict";
// Charts are drawn when near the screen, the others when the browser is idle; tables when opened.
const text = id => document.getElementById(id).textContent;
const themes = JSON.parse(text("themes"));
const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");
const drawn = new Map();

function draw(host) {
  if (drawn.has(host)) return drawn.get(host);
  const spec = JSON.parse(text(host.dataset.spec));
  const theme = dark.matches && !paper.matches ? themes.dark : themes.light;
  const done = vegaEmbed(host, spec, { actions: false, renderer: host.dataset.renderer, config: theme,
    tooltip: { theme: "custom" } });
  drawn.set(host, done);
  return done;
}

async function redraw() {
  for (const [host, done] of [...drawn]) {
    (await done).finalize();
    drawn.delete(host);
    await draw(host);
  }
}

const hosts = [...document.querySelectorAll(".chart")];
const watch = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) { watch.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "300px" });
hosts.forEach(host => watch.observe(host));
const idle = window.requestIdleCallback || (f => setTimeout(f, 50));
function next() {
  const host = hosts.find(h => !drawn.has(h));
  if (host) draw(host).then(() => idle(next)); else document.documentElement.dataset.drawn = "all";
}
addEventListener("load", () => idle(next));
dark.addEventListener("change", redraw);
paper.addEventListener("change", () => { if (dark.matches) redraw(); });

function parseCsv(csv) {
  const rows = [[]];
  let cell = "", quoted = false;
  for (let i = 0; i < csv.length; i++) {
    const c = csv[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (csv[i + 1] === '"') { cell += '"'; i++; }
      else quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === ",") { rows.at(-1).push(cell); cell = ""; }
    else if (c === "\n") { rows.at(-1).push(cell); cell = ""; rows.push([]); }
    else cell += c;
  }
  return rows.filter(row => row.length);
}

const SHOWN = 200;
const short = v => v !== "" && isFinite(v) && /[.e]/.test(v) ? String(+(+v).toPrecision(4)) : v;

function fill(holder, csv) {
  const [names, ...rows] = parseCsv(csv);
  const numeric = names.map((_, i) => rows.every(row => row[i] === "" || isFinite(row[i])));
  const table = document.createElement("table");
  table.createTHead().insertRow().append(...names.map((name, i) => {
    const head = document.createElement("th"), button = document.createElement("button");
    head.scope = "col";
    head.className = numeric[i] ? "n" : "";
    button.textContent = name.replaceAll("_", " ");
    button.onclick = () => sort(i, head);
    head.append(button);
    return head;
  }));
  const body = table.createTBody();
  const show = () => body.replaceChildren(...rows.slice(0, SHOWN).map(row => {
    const line = document.createElement("tr");
    row.forEach((value, i) => {
      const cell = line.insertCell();
      cell.textContent = short(value);
      cell.className = numeric[i] ? "n" : value.length > 24 ? "setting" : "";
    });
    return line;
  }));
  function sort(i, head) {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const compare = numeric[i] ? (a, b) => a[i] - b[i] : (a, b) => a[i].localeCompare(b[i]);
    const last = row => row[i] === "";  // what is not known stays at the end
    rows.sort((a, b) => last(a) - last(b) || (up ? compare(a, b) : compare(b, a)));
    show();
  }
  show();
  holder.replaceChildren(table);
  return rows.length;
}

for (const details of document.querySelectorAll("details[data-csv]")) {
  const csv = () => JSON.parse(text(details.dataset.csv));
  const open = () => {
    const holder = details.querySelector(".scroll");
    if (!details.open || holder.firstChild) return;
    const n = fill(holder, csv());
    details.querySelector(".count").textContent = n > SHOWN ? `${SHOWN} of ${n} rows shown.` : `${n} rows`;
  };
  details.addEventListener("toggle", open);
  open();
  details.querySelector("button").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = details.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
