"use strict";
(() => {
  const data = JSON.parse(document.getElementById("findings").textContent);
  const [ID, SEED, EXPECTED, ANSWERS, CONFIDENCES, STATE, WHY, SIZES, CHANGES] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const $ = (id) => document.getElementById(id);
  const make = (tag, options = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), options);
    node.append(...children);
    return node;
  };
  const called = (label) => (label === null ? "?" : data.classes[label]);
  const off = (f) => f[ANSWERS].filter((answer) => answer !== f[EXPECTED]);
  const said = (f) => [...new Set(off(f))].map(called).join(", ");
  const blamed = (f) => data.models.filter((_, i) => f[ANSWERS][i] !== f[EXPECTED]).join(", ");
  const counted = (n) => n.toLocaleString("en");
  const [width, height] = data.cell;
  const shownWidth = data.pixelated ? width * Math.max(1, Math.round(56 / width)) : Math.min(Math.max(width, 56), 96);
  const scale = shownWidth / width;
  const PAGE = 150;
  const gallery = $("gallery"), tiles = $("tiles"), browse = tiles.parentNode, controls = ["state", "model", "expected", "answered"];
  let matching = [], drawn = 0, ready = false;

  const place = (index) => {
    const within = index % data.perSheet, columns = Math.min(data.columns, data.findings.length, data.perSheet);
    return { sheet: Math.floor(index / data.perSheet), x: (within % columns) * width * 2, y: Math.floor(within / columns) * height };
  };
  const columnsOf = (sheet) => Math.min(data.columns, data.findings.length - sheet * data.perSheet);

  const filter = () => {
    const [state, model, expected, answered] = controls.map((id) => $(id).value);
    matching = data.findings.map((_, i) => i).filter((i) => {
      const f = data.findings[i], answers = model === "" ? off(f) : [f[ANSWERS][model]];
      return f[STATE] >= Number(state)
        && (model === "" || f[ANSWERS][model] !== f[EXPECTED])
        && (expected === "" || f[EXPECTED] === Number(expected))
        && (answered === "" || answers.some((a) => a !== f[EXPECTED] && a === Number(answered)));
    });
    const kept = data.findings.length < data.total ? ` pictured (of ${counted(data.total)})` : "";
    $("shown").textContent = `${counted(matching.length)} of ${counted(data.findings.length)}${kept}`;
    tiles.replaceChildren();
    drawn = 0;
    choose(null);
    draw();
  };

  const draw = () => {
    for (const index of matching.slice(drawn, drawn + PAGE)) {
      const f = data.findings[index], at = place(index), thumb = make("span");
      if (data.table) for (const [name, , after] of f[CHANGES]) thumb.append(make("span", { className: "changed" }, make("span", { textContent: name }), make("b", { textContent: after })));
      else Object.assign(thumb.style, {
        width: `${shownWidth}px`, height: `${height * scale}px`,
        backgroundImage: `var(--sheet${at.sheet})`,
        backgroundSize: `${columnsOf(at.sheet) * width * 2 * scale}px auto`,
        backgroundPosition: `${-(at.x + width) * scale}px ${-at.y * scale}px`,
      });
      const words = `seed ${f[SEED]}: ${called(f[EXPECTED])} answered ${said(f)} by ${blamed(f)}`;
      const tile = make("button", { type: "button", className: f[STATE] === 2 ? "tile" : "tile left-out", title: words, ariaPressed: "false" },
        thumb, make("b", { textContent: called(f[EXPECTED]) }), " ", make("b", { textContent: `→ ${said(f)}` }));
      tile.setAttribute("aria-label", words + (f[WHY] ? `; left out: ${f[WHY]}` : ""));
      tile.dataset.index = index;
      tiles.append(make("li", {}, tile));
    }
    drawn = Math.min(drawn + PAGE, matching.length);
    $("further").hidden = drawn >= matching.length;
    $("further").textContent = `Show more (${counted(matching.length - drawn)} left)`;
  };

  const sheets = new Map();
  const picture = (sheet) => {
    if (!sheets.has(sheet)) {
      const image = new Image();
      image.src = data.sheets[sheet];
      sheets.set(sheet, image.decode().then(() => image));
    }
    return sheets.get(sheet);
  };

  /* The change is computed from the thumbnails: orange is brighter, blue darker, as on the cards. */
  const paint = async (index, canvases) => {
    const at = place(index), image = await picture(at.sheet);
    const [seed, finding, change] = canvases.map((canvas) => {
      Object.assign(canvas, { width, height });
      return canvas.getContext("2d", { willReadFrequently: true });
    });
    seed.drawImage(image, at.x, at.y, width, height, 0, 0, width, height);
    finding.drawImage(image, at.x + width, at.y, width, height, 0, 0, width, height);
    const before = seed.getImageData(0, 0, width, height), after = finding.getImageData(0, 0, width, height);
    const grey = (pixels, i) => (pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3;
    /* Compressed thumbnails differ a little everywhere. */
    const greys = [], steps = [], faint = data.exact ? 0 : 20;
    for (let i = 0; i < before.data.length; i += 4) {
      greys.push(grey(before.data, i));
      const step = grey(after.data, i) - greys.at(-1);
      steps.push(Math.abs(step) > faint ? step : 0);
    }
    const quantile = (values, part) => [...values].sort((a, b) => a - b)[Math.floor(part * (values.length - 1))] ?? 1;
    const usual = quantile(greys, 0.5), most = quantile(steps.filter(Boolean).map(Math.abs), 0.95);
    const result = change.createImageData(width, height);
    steps.forEach((step, i) => {
      const weight = Math.sqrt(Math.min(Math.abs(step) / most, 1)), ghost = 255 - 38 * Math.abs(greys[i] - usual) / 255;
      (step > 0 ? [201, 84, 0] : [11, 92, 173]).forEach((value, k) => { result.data[4 * i + k] = ghost * (1 - weight) + value * weight; });
      result.data[4 * i + 3] = 255;
    });
    change.putImageData(result, 0, 0);
  };

  const choose = (index) => {
    const panel = $("chosen");
    for (const tile of tiles.querySelectorAll(".tile")) tile.setAttribute("aria-pressed", String(Number(tile.dataset.index) === index));
    browse.classList.toggle("open", index !== null);
    if (index === null) return panel.replaceChildren();
    const f = data.findings[index];
    const canvases = ["seed", "finding", "change, amplified: orange is brighter, blue darker"].map((name) => {
      const canvas = make("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", name);
      return canvas;
    });
    const close = make("button", { type: "button", textContent: "Close" });
    close.onclick = leave;
    const changes = make("table", { className: "changes" }, make("tbody", {}, ...f[CHANGES].map(([name, before, after]) => make("tr", {},
      ...(before ? [make("th", { scope: "row", textContent: name, title: name }), make("td", { textContent: before }), make("td", { className: "arrow", textContent: "→" })]
        : [make("th", { scope: "row", textContent: name, colSpan: 3, className: "long" })]), make("td", {}, make("b", { textContent: after }))))));
    const figures = ["seed", "finding", "change"].map((name, i) => make("figure", {}, canvases[i], make("figcaption", { textContent: name })));
    const rows = data.models.map((model, i) => {
      const wrong = f[ANSWERS][i] !== f[EXPECTED], confidence = f[CONFIDENCES][i], bar = make("span");
      const value = typeof confidence === "string";
      bar.style.width = `${value ? 0 : confidence ?? 0}%`;
      return make("tr", { className: wrong ? "off" : "" },
        make("th", { scope: "row", textContent: data.short[i], title: model }), make("td", { className: "says", textContent: called(f[ANSWERS][i]), title: called(f[ANSWERS][i]) }),
        make("td", { className: "bar" }, bar), make("td", { className: "num", textContent: confidence === null ? "–" : value ? confidence : `${confidence} %` }),
        make("td", { className: "verdict", textContent: wrong ? (data.labelled ? "wrong" : "leaves") : "" }));
    });
    const badges = data.sizes.map((name, i) => make("span", { textContent: `${name} ${f[SIZES][i]}` }));
    const state = f[STATE] === 2 ? [] : [make("p", { className: "why", textContent: f[STATE] ? `left out: ${f[WHY]}` : "a seed on which models differ as it is" })];
    panel.replaceChildren(
      make("header", {}, make("h4", { textContent: `Seed ${f[SEED]}: ${called(f[EXPECTED])} → ${said(f)}` }), close),
      data.table ? changes : make("div", { className: "trip" }, ...figures), make("table", { className: "answers" }, make("tbody", {}, ...rows)),
      make("p", { className: "badges" }, ...badges), ...state, make("code", { className: "command", textContent: `--finding ${f[ID]}` }));
    if (!data.table) paint(index, canvases);
  };

  const leave = () => {
    const pressed = tiles.querySelector("[aria-pressed=true]");
    choose(null);
    pressed?.focus();
  };

  const fill = () => {
    ready = true;
    browse.classList.toggle("pixelated", data.pixelated);
    browse.classList.toggle("wordy", Object.values(data.classes).some((name) => name.length > 4));
    tiles.style.setProperty("--tile", `${data.table ? 190 : Math.max(shownWidth, 56) + 8}px`);
    data.sheets.forEach((sheet, i) => browse.style.setProperty(`--sheet${i}`, `url(${sheet})`));
    const add = (id, values, text) => values.forEach((value) => $(id).append(make("option", { value, textContent: text(value) })));
    const labels = (values) => [...new Set(values)].filter((v) => v !== null).sort((a, b) => a - b);
    add("model", data.models.map((_, i) => i), (i) => data.short[i]);
    add("expected", labels(data.findings.map((f) => f[EXPECTED])), called);
    add("answered", labels(data.findings.flatMap(off)), called);
    if (!data.findings.some((f) => f[STATE] === 2)) $("state").value = data.findings.some((f) => f[STATE]) ? "1" : "0";
    filter();
  };

  controls.forEach((id) => { $(id).onchange = filter; });
  $("reset").onclick = () => { controls.forEach((id) => { $(id).selectedIndex = 0; }); filter(); };
  $("further").onclick = () => { const next = drawn; draw(); tiles.querySelectorAll(".tile")[next]?.focus(); };
  tiles.onclick = (event) => { const tile = event.target.closest(".tile"); if (tile) choose(Number(tile.dataset.index)); };
  gallery.onkeydown = (event) => {
    if (event.key === "Escape") return leave();
    const all = [...tiles.querySelectorAll(".tile")], at = all.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (at >= 0 && step) { event.preventDefault(); all[at + step]?.focus(); }
  };
  gallery.ontoggle = () => { if (gallery.open && !ready) fill(); };
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = d.open || d.id !== "gallery"; }));

  /* Large models are drawn a pixel a neuron; the pointer asks which. */
  document.querySelectorAll("img[data-hits]").forEach((image) => {
    let hits;
    image.onmousemove = (event) => {
      hits ??= image.dataset.hits.split(" ");
      const columns = Number(image.dataset.columns), size = image.clientWidth / columns;
      const neuron = Math.floor(event.offsetY / size) * columns + Math.floor(event.offsetX / size);
      image.title = neuron < hits.length ? `neuron ${neuron}: ${hits[neuron] === "0" ? "never" : hits[neuron]}` : "";
    };
  });
})();
