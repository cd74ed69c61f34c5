// The rollouts of a page: chosen, listed and read. The state is in the address, so that a link shows
// what its writer saw.

async function unpacked(id) {
  const bytes = Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const ROW = 44;
const SORTS = {
  chosen: ["selected first", null], entropy: ["entropy", "entropy"], branching: ["branching", "branching"],
  perplexity: ["perplexity", "perplexity"], tokens: ["tokens", "tokens"], redundancy: ["redundancy", "redundancy"],
};
const RANGES = { tokens: "tokens", entropy: "entropy", branching: "branching" };
const CHOICES = ["kind", "round", "benchmark", "verdict", "fate", "finish"];
const SAID = {
  kind: { round: "sampled to learn from", model: "answers of a measurement" },
};
let data, columns, names, order = [], chosen = -1, chunks = new Map(), texts = null, state = {};

const value = (name, row) => (names[name] ? names[name][columns[name][row]] : columns[name][row]);
const shown = (number, digits = 2) => (number === null || number === undefined ? "-" : number.toFixed(digits));

async function begin() {
  data = await unpacked("index");
  ({ columns, names } = data);
  build();
  for (const id of ["filters", "browser", "keys"]) $(id).hidden = false;
  addEventListener("hashchange", follow);
  follow();
  document.body.dataset.ready = "yes";
}

// The address -------------------------------------------------------------------------------------

function follow() {
  const [place, query] = location.hash.slice(1).split("?");
  if (place !== "rollouts") { if (!order.length && !state.touched) choose({}); return; }
  const asked = Object.fromEntries(new URLSearchParams(query || ""));
  const here = query && JSON.stringify(asked) === JSON.stringify(state.asked);
  if (!here) choose(asked);
  if (query && !here) $("rollouts").scrollIntoView();
}

function remember() {
  const asked = {};
  for (const field of $("filters").elements) if (field.name && field.value && field.value !== "chosen") asked[field.name] = field.value;
  if (state.problem) asked.problem = state.problem;
  if (state.tint && state.tint !== "entropy") asked.tint = state.tint;
  if (chosen >= 0) asked.id = columns.id[chosen];
  state.asked = asked;
  const query = new URLSearchParams(asked).toString();
  history.replaceState(null, "", `#rollouts${query ? `?${query}` : ""}`);
}

// Choosing ----------------------------------------------------------------------------------------

function build() {
  const form = $("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const name of CHOICES) {
    const there = name === "round" ? [...new Set(columns.round)].sort((a, b) => a - b) : [...names[name]].sort();
    const select = made("select", { name, "data-testid": `filter-${name}` }, made("option", { value: "" }, "all"),
      ...there.map((each) => made("option", { value: each }, plain(`${SAID[name]?.[each] ?? each}`))));
    form.append(made("label", {}, name === "round" ? "round or model" : name, select));
  }
  form.append(made("label", {}, "text (question, answer, completion)", made("input", { type: "search", name: "q", id: "q" })));
  for (const name of Object.keys(RANGES)) {
    const end = (which) => made("input", { type: "number", step: "any", name: `${which}_${name}`, placeholder: which === "min" ? "from" : "to", "aria-label": `${name} ${which === "min" ? "from" : "to"}` });
    form.append(made("label", {}, name, made("span", { class: "range" }, end("min"), end("max"))));
  }
  form.append(made("label", {}, "order", made("select", { name: "sort" },
    ...Object.entries(SORTS).map(([key, [label]]) => made("option", { value: key }, key === "chosen" ? label : `${label}, highest first`)))));
  form.append(made("button", { type: "button", id: "clear", onclick: () => { state.problem = ""; for (const field of form.elements) if (field.name) field.value = field.name === "sort" ? "chosen" : ""; refresh(); } }, "Clear"));
  form.addEventListener("input", () => refresh());
  const list = $("list");
  list.addEventListener("scroll", () => requestAnimationFrame(draw));
  list.addEventListener("click", (event) => { const row = event.target.closest(".row"); if (row) open(Number(row.dataset.row)); });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
    if (step) { event.preventDefault(); go(step); }
    if (event.key === "Enter" && chosen >= 0) $("detail").focus();
  });
  document.addEventListener("keydown", keys);
}

function choose(asked) {
  state = { asked, problem: asked.problem || "", tint: asked.tint || "entropy", touched: true };
  for (const field of $("filters").elements) if (field.name) field.value = asked[field.name] ?? (field.name === "sort" ? "chosen" : "");
  chosen = asked.id ? columns.id.indexOf(asked.id) : -1;
  refresh(false);
  if (chosen < 0) {
    $("detail").replaceChildren(made("p", {}, asked.id ? `This page does not hold the rollout ${asked.id}; \`rft show RUN ${asked.id}\` shows it.` : "Choose a rollout of the list."));
  }
  if (chosen >= 0) open(chosen, false);
}

let turn = 0;
async function refresh(write = true) {
  const mine = ++turn;
  const form = $("filters").elements;
  const wanted = {};
  for (const name of CHOICES) if (form[name].value) wanted[name] = form[name].value;
  const code = {};
  for (const [name, text] of Object.entries(wanted)) code[name] = names[name] ? names[name].indexOf(text) : Number(text);
  const bounds = Object.keys(RANGES).flatMap((name) => [["min", 1], ["max", -1]].filter(([end]) => form[`${end}_${name}`].value !== "").map(([end, sign]) => [name, sign, Number(form[`${end}_${name}`].value)]));
  const words = form.q.value.toLowerCase();
  if (words && !texts) {
    $("count").textContent = "Reading all texts…";
    await readAll();
    if (mine !== turn) return;
  }
  const problem = state.problem ? names.problem_id.indexOf(state.problem) : -2;
  order = [];
  for (let row = 0; row < columns.id.length; row++) {
    if (Object.entries(code).some(([name, each]) => columns[name][row] !== each)) continue;
    if (problem !== -2 && columns.problem_id[row] !== problem) continue;
    if (bounds.some(([name, sign, end]) => { const it = columns[name][row]; return it === null || sign * it < sign * end; })) continue;
    if (words) {
      const [question] = data.problems[columns.problem_id[row]];
      if (!(texts[row].includes(words) || question.toLowerCase().includes(words) || (columns.answer[row] || "").toLowerCase().includes(words) || columns.id[row].startsWith(words))) continue;
    }
    order.push(row);
  }
  sorted(form.sort.value);
  tell(wanted, bounds.length > 0 || Boolean(words) || problem !== -2);
  $("list").scrollTop = 0;
  draw();
  if (write) remember();
}

function sorted(key) {
  const column = SORTS[key]?.[1];
  const place = (row) => { const fate = value("fate", row); return fate === "selected: positive" ? 0 : fate === "selected: noise" ? 1 : fate === "measured" ? 4 : fate.startsWith("rejected") ? 3 : 2; };
  const by = column
    ? (a, b) => (columns[column][b] ?? -Infinity) - (columns[column][a] ?? -Infinity)
    : (a, b) => columns.round[b] - columns.round[a] || place(a) - place(b) || (columns.rank[a] ?? 1e9) - (columns.rank[b] ?? 1e9);
  order.sort((a, b) => by(a, b) || columns.problem_id[a] - columns.problem_id[b] || columns.sample[a] - columns.sample[b]);
}

function tell(wanted, more) {
  const of = data.counted_by;
  let all = 0;
  for (const row of data.counts) {
    if (Object.entries(wanted).every(([name, text]) => String(row[of.indexOf(name)]) === text)) all += row[of.length];
  }
  const held = order.length.toLocaleString("en");
  const rest = more ? "" : ` of ${all.toLocaleString("en")} in the run`;
  const problem = state.problem ? ` Of problem ${state.problem}.` : "";
  $("count").textContent = `${held} here${rest}.${problem}${order.length ? "" : " Nothing matches; Clear shows all."}`;
}

async function readAll() {
  const all = [];
  for (let number = 0; $(`chunk-${number}`); number++) {
    for (const each of await chunk(number)) all.push((typeof each.t === "string" ? each.t : each.t.join("")).toLowerCase());
  }
  texts = all;
}

async function chunk(number) {
  if (!chunks.has(number)) chunks.set(number, unpacked(`chunk-${number}`));
  return chunks.get(number);
}
async function detail(row) {
  const number = data.starts.findLastIndex((start) => start <= row);
  return (await chunk(number))[row - data.starts[number]];
}

// The list ----------------------------------------------------------------------------------------

const kindOf = (verdict) => (verdict === "correct" || verdict === "wrong" ? verdict : "other");
const mark = (verdict) => ({ correct: "✓", wrong: "✗" })[verdict] ?? "–";
const where = (row) => (value("kind", row) === "round" ? `round ${columns.round[row]}` : `model ${columns.round[row]} on ${plain(value("benchmark", row))}`);
function fateOf(row) {
  const fate = plain(value("fate", row));
  return columns.rank[row] === null ? fate : `${fate}, rank ${columns.rank[row] + 1}`;
}

function draw() {
  const list = $("list");
  $("space").style.height = `${order.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const rows = $("rows");
  rows.style.top = `${first * ROW}px`;
  rows.replaceChildren(...order.slice(first, first + Math.ceil(list.clientHeight / ROW) + 10).map((row, index) => {
    const verdict = value("verdict", row);
    return made("div", { class: "row", role: "option", id: `row-${row}`, "data-row": row, "aria-selected": row === chosen, "aria-posinset": first + index + 1, "aria-setsize": order.length },
      made("div", {}, made("span", { class: kindOf(verdict) }, `${mark(verdict)} ${verdict}`), ` · ${plain(columns.answer[row] ?? "no answer")} · ${fateOf(row)}`),
      made("div", { class: "under" }, `${where(row)} · ${columns.tokens[row] ?? "-"} tokens · H ${shown(columns.entropy[row])} · B ${shown(columns.branching[row])} · ${plain(data.problems[columns.problem_id[row]][0])}`));
  }));
  const there = chosen >= 0 && $(`row-${chosen}`);
  if (there) list.setAttribute("aria-activedescendant", there.id); else list.removeAttribute("aria-activedescendant");
}

function go(step) {
  if (!order.length) return;
  const at = order.indexOf(chosen);
  const next = at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + step));
  open(order[next]);
  const list = $("list"), top = next * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  draw();
}

// One rollout -------------------------------------------------------------------------------------

function siblings(row) {
  const key = ["kind", "round", "benchmark", "problem_id"].map((name) => String(value(name, row)));
  const group = data.groups.find((each) => each.slice(0, 4).every((part, place) => String(part) === key[place]));
  const held = new Map();
  for (let other = 0; other < columns.id.length; other++) {
    if (["kind", "round", "benchmark", "problem_id"].every((name) => columns[name][other] === columns[name][row])) held.set(columns.sample[other], other);
  }
  return group ? group[4].map((sample, place) => [sample, group[5][place], held.get(sample)]) : [];
}

async function open(row, write = true) {
  chosen = row;
  draw();
  if (write) remember();
  const it = await detail(row);
  if (row !== chosen) return;
  const [question, golds] = data.problems[columns.problem_id[row]];
  const verdict = value("verdict", row), path = value("path", row);
  const letters = { c: "✓", w: "✗", n: "∅", u: "?", t: "⏱", b: "!", "-": "·" };
  const others = siblings(row);
  const about = [
    ["verdict", made("span", { class: kindOf(verdict) }, `${mark(verdict)} ${verdict}${path ? ` (${path})` : ""}`)],
    ["answer", plain(columns.answer[row] ?? "-")], ["gold", plain(golds.join(" | ")) || "-"],
    ["length", `${columns.tokens[row] ?? "-"} tokens, ${columns.size[row] ?? "-"} up to the box; ended by ${value("finish", row)}`],
    ["means", `entropy ${shown(columns.entropy[row], 3)} nats, branching ${shown(columns.branching[row], 3)}, perplexity ${shown(columns.perplexity[row], 3)}, redundancy ${shown(columns.redundancy[row], 3)}`],
  ];
  const one = value("kind", row) === "round";
  // What is drawn anew takes the focus with it.
  const focused = $("detail").contains(document.activeElement) ? document.activeElement.id : null;
  $("detail").replaceChildren(
    made("h3", {}, `${where(row)}, sample ${columns.sample[row]} of problem ${String(value("problem_id", row)).slice(0, 12)}`),
    it.why ? made("p", { class: "why", "data-testid": "why" }, plain(it.why)) : made("p", { class: "why" }, "An answer of a measurement: nothing is learnt from it."),
    made("dl", {}, ...about.map(([name, text]) => made("div", {}, made("dt", {}, name), made("dd", {}, text)))),
    made("h3", {}, "Question"), passage("question", question || "-"),
    it.p ? made("details", {}, made("summary", {}, "The whole prompt"), passage("prompt", it.p)) : null,
    made("h3", {}, "Completion"), tools(it), text(it, true), made("p", { id: "readout", "aria-live": "polite" }, ""),
    made("h3", {}, `All ${others.length} answers to this problem here`),
    made("div", { class: "ticks" }, ...others.map(([sample, letter, other]) => other === undefined
      ? made("span", { title: `sample ${sample}, not in this page` }, letters[letter] ?? letter)
      : made("button", { type: "button", "aria-current": other === row, "aria-label": `sample ${sample}: ${value("verdict", other)}`, onclick: () => open(other) }, letters[letter] ?? letter))),
    made("div", { class: "tools" },
      made("button", { type: "button", id: "beside", onclick: () => beside(others) }, "Side by side"),
      made("button", { type: "button", onclick: () => { state.problem = String(value("problem_id", row)); refresh(); } }, "List this problem"),
      one ? made("button", { type: "button", onclick: () => navigator.clipboard?.writeText(`rft show RUN ${columns.id[row]}`) }, "Copy `rft show RUN ID`") : null,
      made("button", { type: "button", onclick: () => navigator.clipboard?.writeText(location.href) }, "Copy link")),
    made("div", { id: "besides" }));
  if (focused !== null) ($(focused) ?? $("detail")).focus({ preventScroll: true });
}

function passage(label, text) {
  return made("div", { class: "text small", tabindex: "0", role: "group", "aria-label": label }, plain(text));
}

async function beside(others) {
  const rows = others.map((each) => each[2]).filter((row) => row !== undefined);
  const cards = [];
  for (const row of rows.slice(0, 16)) {
    const verdict = value("verdict", row);
    cards.push(made("div", {}, made("p", {}, `sample ${columns.sample[row]} · `, made("span", { class: kindOf(verdict) }, `${mark(verdict)} ${verdict}`), ` · ${plain(columns.answer[row] ?? "-")} · ${fateOf(row)}`), text(await detail(row), false)));
  }
  $("besides").replaceChildren(made("p", {}, rows.length > 16 ? `The first 16 of ${rows.length}.` : ""), made("div", { class: "beside", tabindex: "0", role: "group", "aria-label": "answers side by side" }, ...cards));
}

// Keys --------------------------------------------------------------------------------------------

function keys(event) {
  const here = $("rollouts").contains(event.target) || (event.target === document.body && location.hash.startsWith("#rollouts"));
  if (event.ctrlKey || event.metaKey || event.altKey || !here) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) { if (event.key === "Escape") { $("list").focus(); } return; }
  const around = (step) => {
    const rows = siblings(chosen).map((each) => each[2]).filter((row) => row !== undefined);
    const next = rows[rows.indexOf(chosen) + step];
    if (next !== undefined) open(next);
  };
  const deeds = {
    j: () => go(1), k: () => go(-1), "/": () => { $("q").focus(); },
    "[": () => chosen >= 0 && around(-1), "]": () => chosen >= 0 && around(1),
    h: async () => {
      if (chosen < 0) return;
      const it = await detail(chosen), there = tints(it);
      state.tint = there[(there.indexOf(tintOf(it)) + 1) % there.length];
      open(chosen);
    },
    s: () => $("beside")?.click(), Escape: () => $("list").focus(),
  };
  if (!deeds[event.key]) return;
  event.preventDefault();
  deeds[event.key]();
}

begin();
