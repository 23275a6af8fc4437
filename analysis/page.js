"use strict";
// Charts are drawn when near the screen, the others when the browser is idle; tables when opened.
const text = id => document.getElementById(id).textContent;
const themes = JSON.parse(text("themes"));
const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");
const drawn = new Map();

const LEGEND = 200;  // pixels of a legend's column

function narrowed(node, columns) {  // the same spec with legends of at most so many columns
  if (Array.isArray(node)) return node.map(part => narrowed(part, columns));
  if (node === null || typeof node !== "object") return node;
  const parts = Object.entries(node).map(([key, part]) =>
    [key, key === "legend" && part?.columns ? { ...part, columns: Math.min(part.columns, columns) }
      : key === "datasets" ? part : narrowed(part, columns)]);
  return Object.fromEntries(parts);
}

function draw(host) {
  if (drawn.has(host)) return drawn.get(host);
  const columns = Math.max(1, Math.floor(host.clientWidth / LEGEND));
  const spec = narrowed(JSON.parse(text(host.dataset.spec)), columns);
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
const titles = JSON.parse(text("titles")), links = JSON.parse(text("links"));
const short = v => v !== "" && isFinite(v) && /[.e]/.test(v) ? String(+(+v).toPrecision(4)) : v;

// A button in each head sorts the rows: `values` gives a row's value in a column, a number, a text or "".
function sortable(heads, rows, values, show) {
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const known = rows.map(row => [values(row, i), row]);
      const numeric = known.every(([value]) => value === "" || isFinite(value));
      const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b);
      known.sort(([a], [b]) => (a === "") - (b === "") || (up ? compare(a, b) : compare(b, a)));  // unknown: last
      rows.splice(0, rows.length, ...known.map(([, row]) => row));
      show();
    };
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tBodies[0].rows];
  const value = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent;
  sortable([...table.tHead.rows[0].cells], rows, value, () => table.tBodies[0].replaceChildren(...rows));
}

function cellOf(line, name, row, at) {
  const cell = line.insertCell(), value = row[at[name]];
  const run = name === "trial" && links[value];
  const holder = run ? cell.appendChild(document.createElement("a")) : cell;
  if (run) holder.href = run;
  holder.textContent = short(value);
  const low = row[at[`${name}_low`]], high = row[at[`${name}_high`]];
  if (low && high) {
    const interval = cell.appendChild(document.createElement("span"));
    interval.className = "iv";
    interval.textContent = `${short(low)} to ${short(high)}`;
  }
  return cell;
}

// Bounds stand below their value, and what is the same in all rows is said once.
function fill(holder, csv) {
  const [names, ...rows] = parseCsv(csv);
  const at = Object.fromEntries(names.map((name, i) => [name, i]));
  const isBound = name => ["_low", "_high"].some(end => name.endsWith(end) && name.slice(0, -end.length) in at);
  const isSame = name => rows.length > 1 && rows.every(row => row[at[name]] === rows[0][at[name]]);
  const shown = names.filter(name => !isBound(name) && !isSame(name));
  const same = names.filter(name => !isBound(name) && isSame(name) && rows[0][at[name]] !== "");
  const title = name => titles[name] ?? name.replaceAll("_", " ");
  const numeric = name => rows.every(row => row[at[name]] === "" || isFinite(row[at[name]]));
  const kinds = Object.fromEntries(shown.map(name => [name, numeric(name) ? "n" : ""]));
  const table = document.createElement("table"), line = table.createTHead().insertRow();
  const heads = shown.map(name => {
    const head = line.appendChild(document.createElement("th"));
    head.scope = "col";
    head.className = kinds[name];
    head.textContent = title(name);
    return head;
  });
  const body = table.createTBody();
  const show = () => body.replaceChildren(...rows.slice(0, SHOWN).map(row => {
    const made = document.createElement("tr");
    for (const name of shown) {
      const cell = cellOf(made, name, row, at);
      cell.className = kinds[name] || (row[at[name]].length > 24 ? "setting" : "");
    }
    return made;
  }));
  sortable(heads, rows, (row, i) => row[at[shown[i]]], show);
  show();
  holder.replaceChildren(table);
  const count = rows.length > SHOWN ? `${SHOWN} of ${rows.length} rows shown` : `${rows.length} rows`;
  const said = same.map(name => `${title(name)} ${short(rows[0][at[name]])}`);
  return said.length ? `${count}. The same in all: ${said.join(", ")}.` : `${count}.`;
}

for (const details of document.querySelectorAll("details[data-csv]")) {
  const csv = () => JSON.parse(text(details.dataset.csv));
  const open = () => {
    const holder = details.querySelector(".scroll");
    if (!details.open || holder.firstChild) return;
    details.querySelector(".count").textContent = fill(holder, csv());
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
