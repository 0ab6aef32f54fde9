"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const queue = JSON.parse($("queue").textContent).map(([id, answer]) => ({ id, answer, skipped: false }));
  const KEYS = { y: "valid", v: "valid", 1: "valid", n: "invalid", i: "invalid", 2: "invalid", u: "unsure", 3: "unsure" };
  const MOVES = { s: "skip", ArrowRight: "skip", ArrowLeft: "back", z: "undo", Backspace: "undo" };
  const LONGEST = 60_000, REMEMBERED = 20;
  const buttons = [...$("said").children];
  let shown = null; // the place in the queue, or null at the end
  let busy = false, since = 0;
  const seen = queue.flatMap((one, place) => (one.answer ? [place] : []));
  const given = []; // what can be undone: place and the answer before
  const took = [];

  const ask = async (path, body) => {
    const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(path, options);
    const told = await response.json();
    if (!response.ok) throw new Error(told.error);
    return told;
  };

  const left = () => queue.filter((one) => !one.answer).length;
  const next = (from) => {
    const places = queue.map((_, i) => (from + i) % queue.length);
    return places.find((place) => !queue[place].answer && !queue[place].skipped) ?? null;
  };

  const progress = () => {
    const done = queue.length - left(), sorted = [...took].sort((a, b) => a - b);
    const seconds = (sorted[sorted.length >> 1] * left()) / 1000;
    const about = took.length < 3 || !left() ? "" : seconds < 60 ? ", less than a minute left" : `, about ${Math.round(seconds / 60)} min left`;
    $("done").textContent = `${done} of ${queue.length}${about}`;
    $("bar").max = queue.length;
    $("bar").value = done;
    $("back").disabled = !seen.length;
    $("undo").disabled = !given.length;
    $("skip").disabled = shown === null && !left();
    $("skip").lastElementChild.textContent = shown === null ? "Show the skipped" : queue[shown].answer ? "On" : "Skip";
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
    $("said").hidden = place === null;
    const answer = place === null ? null : queue[place].answer;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.answer === answer));
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
    if (shown === null) return;
    const place = shown, before = queue[place].answer;
    await keep(place, said);
    given.push({ place, before });
    took.push(Math.min(performance.now() - since, LONGEST));
    if (took.length > REMEMBERED) took.shift();
    left_behind(place);
    await show(next(place + 1));
  };

  const moves = {
    skip: async () => {
      if (shown === null) for (const one of queue) one.skipped = false;
      else if (!queue[shown].answer) queue[shown].skipped = true;
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

  for (const button of buttons) button.addEventListener("click", () => once(() => answer(button.dataset.answer)));
  for (const name of Object.keys(moves)) $(name).addEventListener("click", () => once(moves[name]));
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in KEYS) && !(key in MOVES)) return;
    event.preventDefault();
    once(key in KEYS ? () => answer(KEYS[key]) : moves[MOVES[key]]);
  });
  progress();
  once(() => show(next(0)));
})();
