"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const $ = (query, from = document) => from.querySelector(query);
  const $$ = (query, from = document) => [...from.querySelectorAll(query)];
  const grouped = new Intl.NumberFormat("en-US");
  const number = (value) => grouped.format(value);
  const percent = (share, places = 1) => (100 * share).toFixed(places) + " %";
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const redraw = [];

  // Theme: auto follows the system; the choice stays where the browser lets it.
  const themes = ["auto", "light", "dark"];
  const themeButton = $("#theme");
  const stored = () => { try { return localStorage.getItem("sievit-theme"); } catch { return null; } };
  const setTheme = (name) => {
    if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
    $("span", themeButton).textContent = name;
    themeButton.setAttribute("aria-label", `colour theme: ${name}; press to change`);
    try { localStorage.setItem("sievit-theme", name); } catch { /* pages from files may not store anything */ }
    redraw.forEach((draw) => draw());
  };
  themeButton.addEventListener("click", () =>
    setTheme(themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw.forEach((draw) => draw()));

  // What the pointer is over, or what has the focus, says its values.
  const tip = $("#tip");
  const place = (x, y) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + box.height + 22 > innerHeight ? Math.max(8, y - box.height - 12) : y + 16}px`;
  };
  let anchor = null; // where what the keyboard reached is now; the pointer needs none
  const show = (text, x, y) => { if (tip.textContent !== text) tip.textContent = text; tip.hidden = false; place(x, y); };
  const say = (text, x, y) => { anchor = null; show(text, x, y); };
  const sayAt = (text, where) => { anchor = where; show(text, ...where()); };
  const hush = () => { anchor = null; tip.hidden = true; };
  const below = (mark) => () => { const box = mark.getBoundingClientRect(); return [box.left + box.width / 2, box.bottom - 8]; };
  const marked = (event) => event.target.closest?.("[data-tip]");
  document.addEventListener("pointermove", (event) => {
    const mark = marked(event);
    if (mark) say(mark.dataset.tip, event.clientX, event.clientY);
    else if (!anchor && !event.target.closest?.("canvas, .patches")) hush();
  });
  document.addEventListener("focusin", (event) => {
    const mark = marked(event);
    if (mark) sayAt(mark.dataset.tip, below(mark)); else hush();
  });
  document.addEventListener("focusout", hush);
  addEventListener("scroll", () => { if (anchor) place(...anchor()); else hush(); }, { passive: true, capture: true });

  // A chart is one stop of the tab key; arrow keys go from mark to mark.
  for (const chart of $$("svg.marks")) {
    const marks = $$("[data-tip]", chart);
    let at = -1;
    chart.addEventListener("focusin", (event) => { const found = marks.indexOf(event.target); if (found >= 0) at = found; });
    chart.addEventListener("keydown", (event) => {
      const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: marks.length - 1 }[event.key];
      if (event.key === "Escape") { hush(); chart.focus(); return; }
      if (next === undefined || !marks.length) return;
      event.preventDefault();
      at = Math.max(0, Math.min(marks.length - 1, next));
      marks[at].focus();
    });
  }

  const resized = (element, draw) => { new ResizeObserver(draw).observe(element); redraw.push(draw); };
  const fit = (canvas) => {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d"); pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [pen, width, height];
  };
  const kindOf = (name) => name.split(".")[1] ?? name;

  // Slots of every cluster.
  const canvas = $("canvas.timeline");
  if (canvas && data.timeline) {
    const decode = (text, Kind) => new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
    const line = data.timeline;
    const cycle = decode(line.cycle, Uint32Array), length = decode(line.length, Uint32Array), rows = decode(line.rows, Uint32Array);
    const step = decode(line.step, Uint16Array);
    const outputs = line.outputs.map((text) => decode(text, Int16Array)), sources = line.sources.map((text) => decode(text, Int16Array));
    const clusters = outputs.length, count = line.count, kinds = line.names.map(kindOf);
    const height = +canvas.getAttribute("height");
    canvas.style.height = `${height}px`;
    const left = 24, top = 20, bottom = 20, lane = (height - top - bottom) / clusters;
    const readout = $(".readout");
    let from = 0, to = line.total, chosen = -1, hovered = -1;
    const least = 200;
    const toX = (at, width) => left + (at - from) / (to - from) * (width - left);
    const clamp = () => {
      const span = Math.min(line.total, Math.max(least, to - from));
      from = Math.max(0, Math.min(from, line.total - span)); to = from + span;
    };
    const first = (at) => { // the last slot that begins at or before a cycle
      let low = 0, high = count;
      while (low < high) { const middle = (low + high) >> 1; if (cycle[middle] <= at) low = middle + 1; else high = middle; }
      return low - 1;
    };
    const draw = () => {
      const [pen, width] = fit(canvas);
      pen.clearRect(0, 0, width, height);
      pen.font = "11px system-ui, sans-serif"; pen.textBaseline = "middle";
      const muted = css("--muted"), faint = css("--faint"), surface = css("--surface");
      const colours = kinds.map((kind) => css(`--kind-${kind}`) || css("--base"));
      const begin = Math.max(0, first(from)), inner = width - left, perPixel = (to - from) / inner;
      for (let cluster = 0; cluster < clusters; cluster++) {
        const y = top + lane * cluster + 1, tall = lane - 2;
        pen.fillStyle = css("--raised"); pen.fillRect(left, y, inner, tall);
        pen.fillStyle = muted; pen.textAlign = "right"; pen.fillText(String(cluster), left - 6, y + tall / 2);
        const active = outputs[cluster];
        if (perPixel > length[begin] / 3) { // many slots to a pixel: how busy it is, in the colour of its main step
          let at = begin;
          for (let pixel = 0; pixel < inner; pixel++) {
            const low = from + pixel * perPixel, high = low + perPixel;
            let busy = 0; const by = new Map();
            while (at > 0 && cycle[at] > low) at--;
            for (let slot = at; slot < count && cycle[slot] < high; slot++) {
              const part = Math.min(high, cycle[slot] + rows[slot]) - Math.max(low, cycle[slot]);
              if (part > 0 && active[slot] >= 0) { busy += part; by.set(step[slot], (by.get(step[slot]) ?? 0) + part); }
              at = slot;
            }
            if (!busy) continue;
            const main = [...by].reduce((best, entry) => entry[1] > best[1] ? entry : best);
            pen.fillStyle = colours[main[0]]; pen.globalAlpha = Math.min(1, busy / perPixel);
            pen.fillRect(left + pixel, y, 1, tall);
          }
          pen.globalAlpha = 1;
        } else {
          for (let slot = begin; slot < count && cycle[slot] < to; slot++) {
            if (active[slot] < 0) continue;
            const x = Math.max(left, toX(cycle[slot], width)), end = Math.min(width, toX(cycle[slot] + rows[slot], width));
            if (end <= x) continue;
            pen.fillStyle = colours[step[slot]]; pen.fillRect(x, y, end - x, tall);
            if (end - x > 5) { pen.fillStyle = surface; pen.fillRect(end - 1, y, 1, tall); }
            if (end - x > 74 && tall > 12) {
              const label = `${sources[cluster][slot]} → ${active[slot]}`;
              pen.fillStyle = surface; pen.globalAlpha = .78; pen.fillRect(x + 4, y + tall / 2 - 7, pen.measureText(label).width + 8, 14);
              pen.globalAlpha = 1; pen.fillStyle = css("--ink"); pen.textAlign = "left"; pen.fillText(label, x + 8, y + tall / 2);
            }
          }
        }
      }
      // blocks of the network above, cycles below
      pen.textAlign = "left";
      let seen = null, end = -1;
      for (let slot = begin; slot < count && cycle[slot] < to; slot++) {
        const layer = line.names[step[slot]].split(".")[0];
        const words = to - from > line.total / 6 ? layer.replace("block", "") : line.names[step[slot]];
        if (words === seen) continue;
        seen = words;
        const x = Math.max(left, toX(cycle[slot], width));
        if (x < end + 6) continue;
        pen.fillStyle = faint; pen.fillRect(x, 4, 1, top + lane * clusters - 4);
        pen.fillStyle = muted; pen.fillText(words, x + 3, 10); end = x + 3 + pen.measureText(words).width;
      }
      const raw = (to - from) / Math.max(2, inner / 90), size = 10 ** Math.floor(Math.log10(raw));
      const tick = size * [1, 2, 5, 10].find((factor) => size * factor >= raw);
      pen.textAlign = "center"; pen.fillStyle = muted;
      for (let at = Math.ceil(from / tick) * tick; at <= to; at += tick) {
        const x = toX(at, width); if (x > width - 24 || x < left + 4) continue;
        pen.fillText(number(Math.round(at)), x, height - 8); pen.fillRect(x, height - bottom, 1, 3);
      }
      const shown = chosen >= 0 ? chosen : hovered;
      if (shown >= 0 && cycle[shown] < to && cycle[shown] + length[shown] > from) {
        const x = toX(cycle[shown], width);
        pen.strokeStyle = css("--ink"); pen.lineWidth = 2;
        pen.strokeRect(x, top, Math.max(2, toX(cycle[shown] + length[shown], width) - x), lane * clusters);
      }
    };
    const describe = (slot) => {
      const working = outputs.map((active, cluster) => active[slot] >= 0 ? `cluster ${cluster}: column ${sources[cluster][slot]} → ${active[slot]}` : `cluster ${cluster}: waits`);
      return [`${line.names[step[slot]]}, slot ${number(slot)}`, `from cycle ${number(cycle[slot])}, streaming rows for ${number(rows[slot])} of ${number(length[slot])} cycles`, ...working];
    };
    const status = () => {
      const words = chosen >= 0 ? describe(chosen).join("; ") : `cycles ${number(Math.round(from))} to ${number(Math.round(to))} of ${number(line.total)}`;
      readout.textContent = words; canvas.dataset.from = Math.round(from); canvas.dataset.to = Math.round(to); canvas.dataset.slot = chosen;
    };
    const update = () => { clamp(); status(); draw(); };
    const zoom = (factor, middle = (from + to) / 2) => { from = middle - (middle - from) * factor; to = middle + (to - middle) * factor; update(); };
    const pan = (share) => { const by = (to - from) * share; from += by; to += by; update(); };
    const go = (slot) => {
      chosen = Math.max(0, Math.min(count - 1, slot));
      if (cycle[chosen] < from || cycle[chosen] + length[chosen] > to) { const span = to - from; from = cycle[chosen] - span / 2; to = from + span; }
      update();
    };
    const acts = {
      in: () => zoom(.5), out: () => zoom(2), left: () => pan(-.25), right: () => pan(.25),
      all: () => { from = 0; to = line.total; chosen = -1; update(); },
      next: () => go(chosen < 0 ? Math.max(0, first(from)) : chosen + 1), before: () => go(chosen < 0 ? Math.max(0, first(from)) : chosen - 1),
    };
    const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", "0": "all", Escape: "all", "]": "next", "[": "before" };
    canvas.addEventListener("keydown", (event) => { const act = keys[event.key]; if (act) { event.preventDefault(); acts[act](); } });
    $$(".tools button").forEach((button) => button.addEventListener("click", () => acts[button.dataset.act]()));
    const cycleAt = (event) => { const box = canvas.getBoundingClientRect(); return from + (event.clientX - box.left - left) / (box.width - left) * (to - from); };
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(event.deltaX / 800); else zoom(event.deltaY > 0 ? 1.25 : .8, cycleAt(event)); }, { passive: false });
    const pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, event.clientX); canvas.setPointerCapture(event.pointerId); canvas.style.cursor = "grabbing"; });
    const release = (event) => { pointers.delete(event.pointerId); canvas.style.cursor = ""; };
    canvas.addEventListener("pointerup", release); canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointermove", (event) => {
      if (pointers.has(event.pointerId)) {
        const before = [...pointers.values()], width = canvas.clientWidth - left;
        pointers.set(event.pointerId, event.clientX);
        const after = [...pointers.values()];
        if (after.length === 2) { const factor = Math.abs(before[0] - before[1]) / Math.max(1, Math.abs(after[0] - after[1])); zoom(Math.min(2, Math.max(.5, factor)), cycleAt({ clientX: (after[0] + after[1]) / 2 })); }
        else { const by = (before[0] - after[0]) / width * (to - from); from += by; to += by; update(); }
        hush(); return;
      }
      const at = cycleAt(event), slot = first(at), inside = slot >= 0 && at < cycle[slot] + length[slot];
      if (hovered !== (inside ? slot : -1)) { hovered = inside ? slot : -1; draw(); }
      if (inside) say(describe(slot).join("\n"), event.clientX, event.clientY); else hush();
    });
    canvas.addEventListener("pointerleave", () => { hovered = -1; hush(); draw(); });
    resized(canvas, update);
  }

  // Blocks of every weight matrix: a pixel each.
  const colour = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  for (const map of $$("canvas.map")) {
    const whole = data.matrices[+map.dataset.matrix], above = +map.dataset.first, high = +map.dataset.rows;
    const matrix = { ...whole, rows: high, clusters: whole.clusters.slice(above, above + high) };
    let at = -1;
    const draw = () => {
      const palette = { ".": colour(css("--raised")), "*": colour(css("--muted")) };
      for (let cluster = 0; cluster < 16; cluster++) palette[cluster.toString(16)] = colour(css(`--cluster-${cluster}`));
      const pen = map.getContext("2d"), image = pen.createImageData(matrix.columns, matrix.rows);
      matrix.clusters.forEach((row, y) => [...row].forEach((letter, x) => image.data.set([...palette[letter], 255], 4 * (y * matrix.columns + x))));
      if (at >= 0) image.data.set([...colour(css("--accent")), 255], 4 * at);
      pen.putImageData(image, 0, 0);
    };
    const describe = (x, y) => {
      const letter = matrix.clusters[y][x];
      const words = letter === "." ? "pruned" : letter === "*" ? "kept, nothing uses its result" : `cluster ${parseInt(letter, 16)}`;
      return `${matrix.name}\noutput column ${above + y}, input column ${x}\n${words}`;
    };
    const label = map.getAttribute("aria-label");
    map.addEventListener("pointermove", (event) => {
      const box = map.getBoundingClientRect();
      const x = Math.min(matrix.columns - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * matrix.columns)));
      const y = Math.min(matrix.rows - 1, Math.max(0, Math.floor((event.clientY - box.top) / box.height * matrix.rows)));
      say(describe(x, y), event.clientX, event.clientY);
    });
    map.addEventListener("pointerleave", hush);
    map.addEventListener("keydown", (event) => {
      const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      if (!by) return;
      event.preventDefault();
      const x = at < 0 ? 0 : Math.min(matrix.columns - 1, Math.max(0, at % matrix.columns + by[0]));
      const y = at < 0 ? 0 : Math.min(matrix.rows - 1, Math.max(0, Math.floor(at / matrix.columns) + by[1]));
      at = y * matrix.columns + x; draw();
      const text = describe(x, y);
      map.setAttribute("aria-label", text.replaceAll("\n", ", "));
      sayAt(text, () => {
        const box = map.getBoundingClientRect();
        return [box.left + (x + .5) / matrix.columns * box.width, box.top + (y + .5) / matrix.rows * box.height];
      });
    });
    map.addEventListener("blur", () => { at = -1; map.setAttribute("aria-label", label); draw(); hush(); });
    redraw.push(draw);
  }

  // The photograph: shade per patch, heat on demand.
  const patches = $(".patches");
  if (patches && data.photo) {
    const photo = data.photo, slider = $("#stage"), heat = $("#heat"), words = $("#stage-text"), total = photo.rows * photo.columns;
    $$("[data-copy=photo]").forEach((copy) => { copy.src = $(".frame img").src; });
    const cells = [];
    for (let patch = 0; patch < total; patch++) {
      const cell = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of Object.entries({ x: patch % photo.columns, y: Math.floor(patch / photo.columns), width: 1, height: 1, tabindex: -1, role: "img" })) cell.setAttribute(name, value);
      patches.append(cell); cells.push(cell);
    }
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "rect"); // above all patches
    for (const [name, value] of Object.entries({ class: "cursor", width: 1, height: 1, visibility: "hidden", "aria-hidden": "true" })) cursor.setAttribute(name, value);
    patches.append(cursor);
    const point = (cell) => { // the patch that the pointer or the keyboard is at
      cursor.setAttribute("visibility", cell ? "visible" : "hidden");
      if (cell) { cursor.setAttribute("x", cell.getAttribute("x")); cursor.setAttribute("y", cell.getAttribute("y")); }
    };
    const held = () => cells.find((cell) => cell === document.activeElement);
    patches.addEventListener("pointermove", (event) => point(cells.includes(event.target) ? event.target : held()));
    patches.addEventListener("pointerleave", () => { hush(); point(held()); });
    patches.addEventListener("focusout", () => point(null));
    const warm = (share) => { // from dark violet over red to pale yellow, lightness rising evenly
      const stops = [[20, 11, 53], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], place = Math.min(.9999, share) * 4, low = Math.floor(place);
      return `rgb(${stops[low].map((value, index) => Math.round(value + (stops[low + 1][index] - value) * (place - low))).join(" ")})`;
    };
    const draw = () => {
      const index = +slider.value, stage = photo.stages[index];
      const alive = new Set(index < 0 ? cells.keys() : stage.kept), entering = new Set(index < 0 ? cells.keys() : stage.alive);
      const shares = index < 0 ? {} : stage.attention, most = Math.max(1e-9, ...Object.values(shares));
      cells.forEach((cell, patch) => {
        const share = shares[patch];
        let fill = "transparent", opacity = 0;
        if (heat.checked && share !== undefined) { fill = warm(share / most); opacity = alive.has(patch) ? .74 : .9; }
        if (!alive.has(patch)) { if (!(heat.checked && share !== undefined)) { fill = "#0a0d12"; opacity = entering.has(patch) ? .66 : .84; } }
        cell.setAttribute("fill", fill); cell.setAttribute("fill-opacity", opacity);
        const state = alive.has(patch) ? "kept" : entering.has(patch) ? "dropped here" : "dropped before";
        const lines = [`patch row ${Math.floor(patch / photo.columns)}, column ${patch % photo.columns}`, index < 0 ? "before the first block" : `${state}, block ${index}`];
        if (share !== undefined) lines.push(`${percent(share, 2)} of the class token's attention`);
        cell.dataset.tip = lines.join("\n"); cell.setAttribute("aria-label", lines.join(", ")); cell.dataset.state = index < 0 ? "kept" : state;
      });
      words.textContent = index < 0 ? `all ${total} patches` : `block ${index}: ${stage.kept.length} of ${total} patches kept` + (stage.alive.length > stage.kept.length ? `, ${stage.alive.length - stage.kept.length} dropped here` : "") + (stage.fused ? ", one fused token stands for the dropped" : "");
      slider.setAttribute("aria-valuetext", words.textContent);
      $$(".strip button").forEach((button) => button.setAttribute("aria-pressed", String(+button.dataset.stage === index)));
    };
    const go = (index) => { slider.value = index; draw(); };
    slider.addEventListener("input", draw); heat.addEventListener("change", draw);
    $$(".strip button").forEach((button) => button.addEventListener("click", () => go(+button.dataset.stage)));
    let at = -1;
    patches.addEventListener("focusin", (event) => { const found = cells.indexOf(event.target); if (found >= 0) { at = found; point(cells[at]); } });
    patches.addEventListener("keydown", (event) => {
      if (event.key === "PageDown" || event.key === "PageUp") {
        event.preventDefault(); go(+slider.value + (event.key === "PageDown" ? 1 : -1));
        if (at >= 0) sayAt(cells[at].dataset.tip, below(cells[at]));
        return;
      }
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: photo.columns, ArrowUp: -photo.columns }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      const next = at < 0 ? 0 : at + by;
      if (next >= 0 && next < total) { at = next; cells[at].focus(); }
    });
    let timer = 0;
    const play = $("#play");
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "▶ play"; };
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      play.textContent = "❚❚ stop"; go(-1);
      timer = setInterval(() => { if (+slider.value >= photo.stages.length - 1) stop(); else go(+slider.value + 1); }, 550);
    });
    draw();
  }

  setTheme(themes.includes(stored()) ? stored() : "auto");
  root.dataset.ready = "yes";
})();
