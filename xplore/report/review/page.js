"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const queue = JSON.parse($("queue").textContent).map(([id, answer]) => ({ id, answer, skipped: false }));
  const { classes, keys, aims } = JSON.parse($("asks").textContent);
  const YES_OR_NO = { y: "valid", v: "valid", 1: "valid", n: "invalid", i: "invalid", 2: "invalid", u: "unsure", 3: "unsure" };
  const KEYS = classes.length ? { ...Object.fromEntries(keys.map((key, place) => [key, place])), [keys.length ? "u" : "?"]: "unsure" } : YES_OR_NO;
  const MOVES = { s: "skip", ArrowRight: "skip", ArrowLeft: "back", z: "undo", Backspace: "undo" };
  const LONGEST = 60_000, REMEMBERED = 20;
  const MATCHES = 9;
  const filter = $("filter"); // where there are more classes than digits
  const buttons = [...document.querySelectorAll("[data-answer]")];
  let matching = [], marked = 0;
  let shown = null; // the place in the queue, or null at the end
  let busy = false, revealed = false, since = 0;
  const answered = (one) => one.answer !== null;
  const seen = queue.flatMap((one, place) => (answered(one) ? [place] : []));
  const given = []; // what can be undone: place and the answer before
  const took = [];

  const ask = async (path, body) => {
    const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(path, options);
    const told = await response.json();
    if (!response.ok) throw new Error(told.error);
    return told;
  };

  const left = () => queue.filter((one) => !answered(one)).length;
  const next = (from) => {
    const places = queue.map((_, i) => (from + i) % queue.length);
    return places.find((place) => !answered(queue[place]) && !queue[place].skipped) ?? null;
  };

  const progress = () => {
    const done = queue.length - left(), sorted = [...took].sort((a, b) => a - b);
    const seconds = (sorted[sorted.length >> 1] * left()) / 1000;
    const about = took.length < 3 || !left() ? "" : seconds < 60 ? ", less than a minute left" : `, about ${Math.round(seconds / 60)} min left`;
    const enough = aims.map(({ of, needed, places }) => `${of}: ${places.filter((place) => answered(queue[place])).length} of ${needed}`);
    $("done").textContent = `${done} of ${queue.length}${about}`;
    $("done").title = `looked at, of those that are needed: ${enough.join(", ")}`;
    if (aims.length > 1) $("done").textContent += ` (${enough.join(", ")})`;
    $("bar").max = queue.length;
    $("bar").value = done;
    $("back").disabled = !seen.length;
    $("undo").disabled = !given.length;
    $("skip").disabled = shown === null && !left();
    $("skip").lastElementChild.textContent = shown === null ? "Show the skipped" : answered(queue[shown]) ? "On" : "Skip";
  };

  /* Before anything is said to be done it was done: a failure leaves the card as it was. */
  const once = async (work) => {
    if (busy) return;
    busy = true;
    $("card").ariaBusy = "true";
    try {
      await work();
      $("trouble").hidden = true;
    } catch (error) {
      $("trouble").textContent = `Not done: ${error.message || error}. Is the review still running in its terminal?`;
      $("trouble").hidden = false;
    }
    busy = false;
    $("card").ariaBusy = "false";
  };

  const show = async (place) => {
    const told = await ask(place === null ? "end" : `card/${queue[place].id}`);
    shown = place;
    $("card").innerHTML = told.html;
    revealed = Boolean(told.revealed);
    $("said").hidden = place === null || revealed;
    const answer = place === null ? null : queue[place].answer;
    for (const button of buttons) button.setAttribute("aria-pressed", String(said_by(button) === answer));
    if (revealed) for (let i = given.length - 1; i >= 0; i--) if (given[i].place === place) given.splice(i, 1);
    if (filter) { filter.value = ""; match(); }
    if (filter && !$("said").hidden) filter.focus({ preventScroll: true });
    progress();
    scrollTo(0, 0);
    since = performance.now();
  };

  const left_behind = (place) => { if (place !== null) seen.push(place); };

  const keep = async (place, answer) => {
    await ask("answer", { finding: queue[place].id, answer });
    queue[place].answer = answer;
  };

  const answer = async (said) => {
    if (shown === null || revealed) return;
    const place = shown, before = queue[place].answer;
    await keep(place, said);
    given.push({ place, before });
    took.push(Math.min(performance.now() - since, LONGEST));
    if (took.length > REMEMBERED) took.shift();
    left_behind(place);
    await show(next(place + 1));
  };

  const said_by = ({ dataset }) => (dataset.answer in classes ? Number(dataset.answer) : dataset.answer);

  /* Classes whose name holds what was typed: those that begin with it first, then words that do. */
  const match = () => {
    const typed = filter.value.trim().toLowerCase();
    const rank = (name) => (name.startsWith(typed) ? 0 : name.includes(` ${typed}`) ? 1 : name.includes(typed) ? 2 : 3);
    const ranked = classes.map((name, place) => ({ name, place, rank: rank(name.toLowerCase()) }));
    const all = ranked.filter((one) => one.rank < 3).sort((a, b) => a.rank - b.rank || a.place - b.place);
    matching = all.slice(0, MATCHES);
    marked = 0;
    $("matches").replaceChildren(...matching.map(({ name, place }) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      button.addEventListener("click", () => once(() => answer(place)));
      return button;
    }));
    $("more").textContent = all.length ? `${all.length} of ${classes.length} match.` : "None matches.";
    mark();
  };
  const mark = () => [...$("matches").children].forEach((button, place) => button.classList.toggle("marked", place === marked));

  const FILTER = {
    Enter: () => filter.value.trim() && matching.length && once(() => answer(matching[marked].place)),
    ArrowDown: () => { marked = Math.min(marked + 1, matching.length - 1); mark(); },
    ArrowUp: () => { marked = Math.max(marked - 1, 0); mark(); },
    Escape: () => { filter.value = ""; match(); },
    "?": () => once(() => answer("unsure")),
  };
  /* What is typed goes into the filter; moves have the keys that an empty one has no use for. */
  const filtered = (event) => {
    const inside = event.target === filter, onto = event.target.closest?.("button");
    if (event.key in FILTER && !(onto && event.key === "Enter")) return FILTER[event.key];
    const moved = event.key.length > 1 && MOVES[event.key];
    if (moved && !(inside && filter.value)) return () => once(moves[moved]);
    if (!inside && !$("said").hidden && event.key.length === 1 && event.key !== " ") filter.focus();
    return null;
  };

  const moves = {
    skip: async () => {
      if (shown === null) for (const one of queue) one.skipped = false;
      else if (!answered(queue[shown])) queue[shown].skipped = true;
      const from = shown;
      await show(next(from === null ? 0 : from + 1));
      left_behind(from);
    },
    back: async () => {
      if (!seen.length) return;
      await show(seen[seen.length - 1]);
      seen.pop();
    },
    undo: async () => {
      if (!given.length) return;
      const { place, before } = given[given.length - 1];
      await keep(place, before);
      given.pop();
      if (seen[seen.length - 1] === place) seen.pop();
      await show(place);
    },
  };

  for (const button of buttons) button.addEventListener("click", () => once(() => answer(said_by(button))));
  for (const name of Object.keys(moves)) $(name).addEventListener("click", () => once(moves[name]));
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (filter) {
      const act = filtered(event);
      if (act) event.preventDefault(), act();
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in KEYS) && !(key in MOVES)) return;
    event.preventDefault();
    once(key in KEYS ? () => answer(KEYS[key]) : moves[MOVES[key]]);
  });
  filter?.addEventListener("input", match);
  progress();
  once(() => show(next(0)));
})();
