"use strict";
(() => {
  const [ID, SEED, EXPECTED, ANSWERS, CONFIDENCES, STATE, WHY, SIZES, CHANGES, SMALLEST] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const VALID = 3, IN_DOUBT = 2;
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
  const notCounted = (f) => `${f[STATE] === IN_DOUBT ? "in doubt" : "left out"}: ${f[WHY]}`;
  const counted = (n) => n.toLocaleString("en");
  const PAGE = 150;
  const gallery = $("gallery"), tiles = $("tiles"), browse = tiles.parentNode, controls = ["state", "model", "expected", "answered"];
  /* Read when the gallery is opened: until then the findings are text. */
  let data, width, height, shownWidth, scale, matching = [], page = 0;

  const place = (index) => {
    const within = index % data.perSheet;
    return { sheet: Math.floor(index / data.perSheet), x: (within % data.columns) * width * data.cells, y: Math.floor(within / data.columns) * height };
  };
  const columnsOf = (sheet) => Math.min(data.columns, data.findings.length - sheet * data.perSheet);
  const styled = new Set();
  /* A sheet becomes a rule, and is decoded, when the first of its findings is drawn. */
  const styleOf = (sheet) => {
    if (!styled.has(sheet)) document.styleSheets[0].insertRule(`.sheet${sheet} { background-image: url(${data.sheets[sheet]}); }`);
    styled.add(sheet);
    return `sheet${sheet}`;
  };

  const filter = () => {
    const [state, model, expected, answered] = controls.map((id) => $(id).value);
    matching = data.findings.map((_, i) => i).filter((i) => {
      const f = data.findings[i], answers = model === "" ? off(f) : [f[ANSWERS][model]];
      return (state === "doubt" ? f[STATE] === IN_DOUBT : f[STATE] >= Number(state))
        && (model === "" || f[ANSWERS][model] !== f[EXPECTED])
        && (expected === "" || f[EXPECTED] === Number(expected))
        && (answered === "" || answers.some((a) => a !== f[EXPECTED] && a === Number(answered)));
    });
    const kept = data.findings.length < data.total ? ` pictured (of ${counted(data.total)})` : "";
    $("shown").textContent = `${counted(matching.length)} of ${counted(data.findings.length)}${kept}`;
    const pages = Math.ceil(matching.length / PAGE);
    $("page").replaceChildren(...Array.from({ length: pages }, (_, i) => make("option", { value: i, textContent: counted(i + 1) })));
    $("pages").textContent = counted(pages);
    $("paging").hidden = pages < 2;
    turn(0);
  };

  const turn = (to) => {
    page = to;
    $("page").value = page;
    $("earlier").disabled = page === 0;
    $("later").disabled = (page + 1) * PAGE >= matching.length;
    if (document.activeElement.disabled) $("page").focus();
    choose(null);
    tiles.replaceChildren(...matching.slice(page * PAGE, (page + 1) * PAGE).map(tile));
    if (tiles.getBoundingClientRect().top < 0) browse.scrollIntoView();
  };

  const tile = (index) => {
    const f = data.findings[index], at = place(index), thumb = make("span");
    if (data.table) for (const [name, , after] of (f[SMALLEST]?.[1] ?? f[CHANGES])) thumb.append(make("span", { className: "changed" }, make("span", { textContent: name }), make("b", { textContent: after })));
    else {
      thumb.className = styleOf(at.sheet);
      Object.assign(thumb.style, {
        width: `${shownWidth}px`, height: `${height * scale}px`,
        backgroundSize: `${columnsOf(at.sheet) * width * data.cells * scale}px auto`,
        backgroundPosition: `${-(at.x + width) * scale}px ${-at.y * scale}px`,
      });
    }
    const words = `seed ${f[SEED]}: ${called(f[EXPECTED])} answered ${said(f)} by ${blamed(f)}`;
    const button = make("button", { type: "button", className: f[STATE] === VALID ? "tile" : "tile left-out", title: words, ariaPressed: "false" },
      thumb, make("b", { textContent: called(f[EXPECTED]) }), " ", make("b", { textContent: `→ ${said(f)}` }));
    button.setAttribute("aria-label", words + (f[WHY] ? `; ${notCounted(f)}` : ""));
    button.dataset.index = index;
    return make("li", {}, button);
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
    const drawn = canvases.map((canvas, i) => {
      Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      if (i < canvases.length - 1) context.drawImage(image, at.x + i * width, at.y, width, height, 0, 0, width, height);
      return context;
    });
    const change = drawn.at(-1), before = drawn[0].getImageData(0, 0, width, height), after = drawn.at(-2).getImageData(0, 0, width, height);
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
    const small = f[SMALLEST], names = ["seed", "finding", ...(small ? ["smallest"] : []), "change"];
    const canvases = names.map((name) => {
      const canvas = make("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", { smallest: "smallest change that shows it", change: "change, amplified: orange is brighter, blue darker" }[name] ?? name);
      return canvas;
    });
    const close = make("button", { type: "button", textContent: "Close" });
    close.onclick = leave;
    const told = (title, lines) => make("table", { className: "changes" }, make("caption", { textContent: title, className: small ? "" : "unseen" }), make("tbody", {}, ...lines.map(([name, before, after]) => make("tr", {},
      ...(before ? [make("th", { scope: "row", textContent: name, title: name }), make("td", { textContent: before }), make("td", { className: "arrow", textContent: "→" })]
        : [make("th", { scope: "row", textContent: name, colSpan: 3, className: "long" })]), make("td", {}, make("b", { textContent: after }))))));
    const changes = [...(small ? [told("smallest change that shows it", small[1])] : []), told(small ? "as found" : "what changed", f[CHANGES])];
    const figures = names.map((name, i) => make("figure", {}, canvases[i], make("figcaption", { textContent: name })));
    const rows = data.models.map((model, i) => {
      const wrong = f[ANSWERS][i] !== f[EXPECTED], confidence = f[CONFIDENCES][i], bar = make("span");
      const value = typeof confidence === "string";
      bar.style.width = `${value ? 0 : confidence ?? 0}%`;
      return make("tr", { className: wrong ? "off" : "" },
        make("th", { scope: "row", textContent: data.short[i], title: model }), make("td", { className: "says", textContent: called(f[ANSWERS][i]), title: called(f[ANSWERS][i]) }),
        make("td", { className: "bar" }, bar), make("td", { className: "num", textContent: confidence === null ? "–" : value ? confidence : `${confidence} %` }),
        make("td", { className: "verdict", textContent: wrong ? (data.label_stands ? "wrong" : "leaves") : "" }));
    });
    const badges = data.sizes.map((name, i) => make("span", { textContent: `${name} ${f[SIZES][i]}${small ? ` → ${small[0][i]}` : ""}` }));
    const state = f[STATE] === VALID ? [] : [make("p", { className: "why", textContent: f[STATE] ? notCounted(f) : "a seed on which models differ as it is" })];
    panel.replaceChildren(
      make("header", {}, make("h4", { textContent: `Seed ${f[SEED]}: ${called(f[EXPECTED])} → ${said(f)}` }), close),
      ...(data.table ? changes : [make("div", { className: small ? "trip four" : "trip" }, ...figures)]), make("table", { className: "answers" }, make("tbody", {}, ...rows)),
      make("p", { className: "badges" }, ...badges), ...state, make("code", { className: "command", textContent: `--finding ${f[ID]}` }));
    if (!data.table) paint(index, canvases);
  };

  const leave = () => {
    const pressed = tiles.querySelector("[aria-pressed=true]");
    choose(null);
    pressed?.focus();
  };

  const fill = () => {
    data = JSON.parse($("findings").textContent);
    [width, height] = data.cell;
    shownWidth = data.pixelated ? width * Math.max(1, Math.round(56 / width)) : Math.min(Math.max(width, 56), 96);
    scale = shownWidth / width;
    browse.classList.toggle("pixelated", data.pixelated);
    browse.classList.toggle("wordy", Object.values(data.classes).some((name) => name.length > 4));
    tiles.style.setProperty("--tile", `${data.table ? 190 : Math.max(shownWidth, 56) + 8}px`);
    const add = (id, values, text) => values.forEach((value) => $(id).append(make("option", { value, textContent: text(value) })));
    const labels = (values) => [...new Set(values)].filter((v) => v !== null).sort((a, b) => a - b);
    add("model", data.models.map((_, i) => i), (i) => data.short[i]);
    add("expected", labels(data.findings.map((f) => f[EXPECTED])), called);
    add("answered", labels(data.findings.flatMap(off)), called);
    if (!data.findings.some((f) => f[STATE] === VALID)) $("state").value = data.findings.some((f) => f[STATE]) ? "1" : "0";
    filter();
  };

  controls.forEach((id) => { $(id).onchange = filter; });
  $("reset").onclick = () => { controls.forEach((id) => { $(id).selectedIndex = 0; }); filter(); };
  $("earlier").onclick = () => turn(page - 1);
  $("later").onclick = () => turn(page + 1);
  $("page").onchange = () => turn(Number($("page").value));
  tiles.onclick = (event) => { const tile = event.target.closest(".tile"); if (tile) choose(Number(tile.dataset.index)); };
  gallery.onkeydown = (event) => {
    if (event.key === "Escape") return leave();
    const all = [...tiles.querySelectorAll(".tile")], at = all.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (at >= 0 && step) { event.preventDefault(); all[at + step]?.focus(); }
  };
  gallery.ontoggle = () => { if (gallery.open && !data) fill(); };
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = d.open || d.id !== "gallery"; }));

  /* Large models are drawn a pixel a cell; the pointer asks which. */
  document.querySelectorAll("img[data-hits]").forEach((image) => {
    let hits;
    image.onmousemove = (event) => {
      hits ??= image.dataset.hits.split(" ");
      const columns = Number(image.dataset.columns), size = image.clientWidth / columns;
      const cell = Math.floor(event.offsetY / size) * columns + Math.floor(event.offsetX / size);
      const each = Number(image.dataset.each ?? 1);
      const name = each === 1 ? `neuron ${cell}` : `neuron ${Math.floor(cell / each)}, cell ${cell % each}`;
      image.title = cell < hits.length ? `${name}: ${hits[cell] === "0" ? "never" : hits[cell]}` : "";
    };
  });
})();
