// A rollout's text, token by token: tinted by a statistic, its box and its end marked. Whatever a
// model wrote is set as text, never as HTML.

// What acts on a line unseen, as the direction of letters does, is written out, as in a terminal.
const plain = (text) => text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffe\uffff]/gu, (letter) => {
  const code = letter.codePointAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
});

const TINTS = ["entropy", "branching", "logprob", "none"];
const SCALE = {
  entropy: ["e", (x) => Math.sqrt(Math.min(x / 3000, 1)), "entropy, 0 to 3 nats"],
  branching: ["b", (x) => Math.min(Math.log2(Math.max(x, 1)) / 6, 1), "tokens in the top of the mass, 1 to 64"],
  logprob: ["l", (x) => Math.min(-x / 5000, 1), "-logprob, 0 to 5 nats"],
};

const tints = (it) => TINTS.filter((name) => name === "none" || it[SCALE[name][0]]);
const tintOf = (it) => (tints(it).includes(state.tint) ? state.tint : tints(it)[0]);

function tools(it) {
  const there = tints(it);
  if (there.length === 1) return made("p", { class: "keys" }, Array.isArray(it.t) ? "No statistics of its tokens are recorded." : "Its tokens are not recorded: the text alone is.");
  const tint = tintOf(it);
  const select = made("select", { id: "tint", "aria-label": "tint of tokens", onchange: (event) => { state.tint = event.target.value; open(chosen); } },
    ...there.map((name) => made("option", { value: name, ...(name === tint ? { selected: "" } : {}) }, name)));
  return made("div", { class: "tools" }, "tinted by", select, ...(tint === "none" ? [] : [made("span", { class: "scale", role: "img", "aria-label": "from low to high" }), SCALE[tint][2]]), " · underlined: the box · struck out: cut off behind it");
}

function text(it, whole) {
  const box = made("div", whole ? { class: "text", tabindex: "0", id: "completion", "data-testid": "completion", role: "group", "aria-label": "completion; arrow keys go from token to token" } : { class: "text small", tabindex: "0", role: "group", "aria-label": "answer" });
  const pieces = typeof it.t === "string" ? [it.t] : it.t;
  const [column, scale] = SCALE[tintOf(it)] ?? [];
  const values = column ? it[column] : null;
  let letter = 0, token = 0;
  pieces.forEach((piece, place) => {
    const count = typeof it.t === "string" ? 0 : it.n ? it.n[place] : 1;
    for (const [from, to, kind] of cut(letter, letter + piece.length, it)) {
      const part = made("span", {}, plain(piece.slice(from - letter, to - letter)));
      if (kind) part.className = kind;
      if (count) {
        part.dataset.i = token;
        part.dataset.n = count;
        const known = values ? values.slice(token, token + count).filter((each) => each !== null && each !== undefined) : [];
        if (known.length) part.style.backgroundColor = `color-mix(in srgb, var(--heat) ${Math.round(75 * Math.max(...known.map(scale)))}%, transparent)`;
      }
      box.append(part);
    }
    letter += piece.length;
    token += count;
  });
  if (whole) {
    box.addEventListener("pointerover", (event) => { const part = event.target.closest("[data-i]"); if (part) read(it, part, box); });
    box.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const parts = [...box.querySelectorAll("[data-i]")];
      const at = parts.findIndex((part) => part.classList.contains("at"));
      const next = parts[Math.min(parts.length - 1, Math.max(0, at + step))];
      if (next) { read(it, next, box); next.scrollIntoView({ block: "nearest" }); }
    });
  }
  return box;
}

// A piece may be cut by the ends of the box and of the response.
function cut(start, end, it) {
  const ends = [start, end, ...[it.end, ...(it.box ?? [])].filter((each) => each > start && each < end)].sort((a, b) => a - b);
  const kind = (at) => (it.end !== undefined && at >= it.end ? "tail" : it.box && at >= it.box[0] && at < it.box[1] ? "box" : "");
  if (start === end) return [[start, end, ""]];
  return ends.slice(1).map((to, place) => [ends[place], to, kind(ends[place])]).filter(([from, to]) => to > from);
}

function read(it, part, box) {
  box.querySelector(".at")?.classList.remove("at");
  part.classList.add("at");
  const first = Number(part.dataset.i), count = Number(part.dataset.n);
  const told = [];
  for (let token = first; token < first + count; token++) {
    const number = (list, digits, divisor) => (list && list[token] !== null && list[token] !== undefined ? (list[token] / divisor).toFixed(digits) : "-");
    told.push(`token ${token + 1}: entropy ${number(it.e, 3, 1000)} nats, branching ${number(it.b, 0, 1)}, logprob ${number(it.l, 3, 1000)}`);
  }
  $("readout").textContent = `${JSON.stringify(part.textContent)} ${told.join("; ")}`;
}
