/* The lab: optimizers race over a landscape of two weights.
 *
 * A classic script without dependencies, so that it also works from file://. The rules, schedules
 * and landscapes come from rules.js, which is printed from the Python of optlib when the book is
 * built. Every `.lab` element on the page becomes a widget; its data attributes are its options.
 */
"use strict";

(() => {
  const STEPS = 100;
  const RATES = 1.5; // decades on the slider, each side of the rate it starts at
  const NEAR = 1.25; // a tuned rate's mean loss, in units of the best
  const SPEED = 25; // steps in a second of the animation
  const COLOURS = 8;
  const DASHES = [[], [9, 4], [2, 3], [9, 3, 2, 3], [5, 3], [14, 3, 2, 3, 2, 3]];
  const LEVELS = 15;
  const DROP = 3; // contour levels grow with this power: dense near the minimum

  // ---- the race: pure functions

  /** The path of one optimizer: its points, their losses, and the step at which it left for good. */
  function race(entry, landscape, start, { steps = STEPS, lr, schedule, hyper = {} }) {
    const points = [start];
    const losses = [landscape.value(...start)];
    const step = stepper(entry, start);
    for (let t = 1; t <= steps; t++) {
      const rate = schedule ? schedule(t - 1, steps, lr) : lr;
      const next = step(landscape.gradient(...points[t - 1]), t, { ...hyper, lr: rate });
      const loss = landscape.value(...next);
      points.push(next);
      losses.push(loss);
      if (!Number.isFinite(loss) || isFarOutside(next, landscape.domain)) {
        return { points, losses, diverged: t };
      }
    }
    return { points, losses, diverged: null };
  }

  /** An element-wise rule runs once per coordinate, a layer-wise one on the whole point. */
  function stepper(entry, start) {
    let w = start;
    let state = entry.state.map(() => start.map(() => 0));
    return (g, t, hyper) => {
      const rest = entry.clock ? [t, hyper] : [hyper];
      if (entry.layerwise) {
        [w, ...state] = entry.rule(w, g, ...state, ...rest);
      } else {
        const each = w.map((x, i) => entry.rule(x, g[i], ...state.map(s => s[i]), ...rest));
        [w, ...state] = each[0].map((_, k) => each.map(one => one[k]));
      }
      return w;
    };
  }

  function isFarOutside(point, domain) {
    return point.some((x, i) => {
      const [low, high] = domain[i];
      return Math.abs(x - (low + high) / 2) > 20 * (high - low);
    });
  }

  /** The gentlest rate, of ten to a decade, whose mean loss over the race is near the best one's. */
  function tune(entry, landscape, options) {
    const tried = [];
    for (let k = -40; k <= 30; k++) {
      const lr = Number((10 ** (k / 10)).toPrecision(2));
      const { losses, diverged } = race(entry, landscape, landscape.start, { ...options, lr });
      const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      if (diverged === null) tried.push({ lr, mean });
    }
    const best = Math.min(...tried.map(each => each.mean));
    return (tried.find(each => each.mean <= NEAR * best) ?? { lr: 0.01 }).lr;
  }

  if (typeof module === "object" && module.exports) {
    module.exports = { race, tune };
    return;
  }

  // ---- small things

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  const words = text => (text || "").split(/\s+/).filter(Boolean);
  const clamp = (x, [low, high]) => Math.min(Math.max(x, low), high);
  const mix = (a, b, share) => a.map((x, i) => Math.round(x + (b[i] - x) * share));
  const wantsStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  function format(x) {
    if (x === 0) return "0";
    const small = Math.abs(x) < 1e-3 || Math.abs(x) >= 1e4;
    const text = small ? x.toExponential(1) : String(Number(x.toPrecision(3)));
    return text.replace("e+", "e").replace("-", "\u2212");
  }

  // ---- the picture

  /** What a landscape looks like, computed once: heights on a grid and contour lines, in shares. */
  function survey(landscape) {
    const [columns, rows] = [160, 120];
    const height = [];
    for (let j = 0; j <= rows; j++) {
      for (let i = 0; i <= columns; i++) {
        height.push(landscape.value(...fromShare([i / columns, j / rows], landscape.domain)));
      }
    }
    const top = Math.max(...height);
    const share = height.map(h => (h / top) ** (1 / DROP));
    const lines = [];
    for (let k = 1; k < LEVELS; k++) lines.push(contour(share, columns, rows, k / LEVELS));
    return { columns, rows, share, lines };
  }

  const fromShare = ([u, v], [[x0, x1], [y0, y1]]) => [x0 + u * (x1 - x0), y1 - v * (y1 - y0)];
  const toShare = ([x, y], [[x0, x1], [y0, y1]]) => [(x - x0) / (x1 - x0), (y1 - y) / (y1 - y0)];

  /** Marching squares: each cell that the level crosses gives one or two segments. */
  function contour(share, columns, rows, level) {
    const segments = [];
    const stride = columns + 1;
    for (let j = 0; j < rows; j++) {
      for (let i = 0; i < columns; i++) {
        const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
        const heights = corners.map(([a, b]) => share[b * stride + a] - level);
        const crossings = [];
        for (let k = 0; k < 4; k++) {
          const [p, q] = [heights[k], heights[(k + 1) % 4]];
          if (p < 0 === q < 0) continue;
          const [a, b] = [corners[k], corners[(k + 1) % 4]];
          const s = p / (p - q);
          crossings.push([(a[0] + s * (b[0] - a[0])) / columns, (a[1] + s * (b[1] - a[1])) / rows]);
        }
        for (let k = 0; k + 1 < crossings.length; k += 2) segments.push(crossings.slice(k, k + 2));
      }
    }
    return segments;
  }

  function paintLand(pen, width, height, land, ink) {
    const image = new ImageData(land.columns + 1, land.rows + 1);
    land.share.forEach((s, k) => {
      image.data.set([...mix(ink.low, ink.high, Math.min(1, s)), 255], 4 * k);
    });
    const small = element("canvas", { width: image.width, height: image.height });
    small.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, width, height);
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const [a, b] of land.lines.flat()) {
      pen.moveTo(a[0] * width, a[1] * height);
      pen.lineTo(b[0] * width, b[1] * height);
    }
    pen.stroke();
  }

  function paintMinimum(pen, [x, y], ink) {
    for (const [colour, width] of [[ink.paper, 5], [ink.text, 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.moveTo(x - 6, y);
      pen.lineTo(x + 6, y);
      pen.moveTo(x, y - 6);
      pen.lineTo(x, y + 6);
      pen.stroke();
    }
  }

  /** A line through pixels in the runner's colour and dashes, on a halo that parts it from others. */
  function paintLine(pen, pixels, runner, ink) {
    const line = new Path2D();
    pixels.forEach(([x, y], k) => (k ? line.lineTo(x, y) : line.moveTo(x, y)));
    pen.lineJoin = "round";
    pen.strokeStyle = ink.halo;
    pen.lineWidth = 5;
    pen.stroke(line);
    pen.strokeStyle = ink.runners[runner.colour];
    pen.lineWidth = 2.25;
    pen.setLineDash(runner.dash);
    pen.stroke(line);
    pen.setLineDash([]);
  }

  function paintDot(pen, [x, y], radius, fill, edge) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fillStyle = fill;
    pen.fill();
    if (edge) {
      pen.strokeStyle = edge;
      pen.lineWidth = 2;
      pen.stroke();
    }
  }

  /** The points of a path up to a step that may lie between two. */
  function upTo(points, at) {
    const whole = Math.min(Math.floor(at), points.length - 1);
    const shown = points.slice(0, whole + 1);
    const part = at - whole;
    if (part > 0 && whole + 1 < points.length) {
      shown.push(points[whole].map((x, i) => x + part * (points[whole + 1][i] - x)));
    }
    return shown;
  }

  /** The steps to mark with dots: where they are so near that dots would hide the dashes, none. */
  function apart(pixels) {
    const near = 6;
    return pixels.slice(1, -1).filter((p, k) => {
      const [before, after] = [pixels[k], pixels[k + 2]];
      return [before, after].every(q => Math.hypot(p[0] - q[0], p[1] - q[1]) > near);
    });
  }

  // ---- the widget

  let widgets = 0;

  class Lab {
    constructor(root) {
      const options = root.dataset;
      this.root = root;
      this.id = `lab-${++widgets}`;
      this.steps = Number(options.steps) || STEPS;
      this.shown = words(options.optimizers).filter(name => OPTLIB.rules[name]);
      this.offered = "more" in options ? Object.keys(OPTLIB.rules) : [...this.shown];
      this.given = Object.fromEntries(words(options.lr).map(pair => {
        const [name, lr] = pair.split("=");
        return [name, Number(lr)];
      }));
      this.defaults = { landscape: options.landscape, shown: [...this.shown], schedule: "constant" };
      this.tuned = {};
      this.lands = {};
      this.playing = 0;
      this.runners = Object.keys(OPTLIB.rules).map((name, i) => ({
        name,
        colour: i % COLOURS,
        dash: DASHES[(i + Math.floor(i / COLOURS)) % DASHES.length],
      }));
      this.build();
      this.reset();
      this.watch();
    }

    get landscape() { return OPTLIB.landscapes[this.land]; }

    runner(name) { return this.runners.find(each => each.name === name); }

    // -- what it is made of

    build() {
      this.buildStage();
      this.buildTransport();
      this.buildRoster();
      this.status = element("p", { class: "lab-unseen", role: "status", "aria-live": "polite" });
      const left = element("div", { class: "lab-left" },
        this.stage, this.shows, this.transport, this.lossBox);
      const right = element("div", { class: "lab-right" }, this.menus, this.roster, this.rows);
      this.root.querySelector(".lab-body").replaceChildren(left, right, this.status);
      this.root.setAttribute("role", "group");
      this.root.setAttribute("aria-label", "Lab: optimizers race over a landscape");
    }

    buildStage() {
      this.canvas = element("canvas", { class: "lab-land", role: "img" });
      this.handle = element("button", {
        type: "button",
        class: "lab-start",
        "aria-describedby": `${this.id}-how`,
      });
      const how = element("span", { class: "lab-unseen", id: `${this.id}-how` },
        "Drag, or use the arrow keys; with Shift in larger steps.");
      this.stage = element("div", { class: "lab-stage" }, this.canvas, this.handle, how);
      this.shows = element("p", { class: "lab-shows" });
      this.canvas.addEventListener("pointerdown", event => {
        if (event.pointerType !== "touch") this.drag(event, this.canvas);
      });
      this.canvas.addEventListener("click", event => this.moveTo(event));
      this.handle.addEventListener("pointerdown", event => this.drag(event, this.handle));
      this.handle.addEventListener("keydown", event => this.nudge(event));
    }

    buildTransport() {
      this.play = element("button", { type: "button", class: "lab-play" });
      this.scrub = element("input", {
        type: "range", min: 0, max: this.steps, step: 1, "aria-label": "Step",
      });
      this.count = element("output", { class: "lab-count" });
      this.again = element("button", { type: "button", class: "lab-reset" }, "Reset");
      this.transport = element("div", { class: "lab-transport" },
        this.play, this.scrub, this.count);
      this.losses = element("canvas", { class: "lab-losses", role: "img" });
      this.lossBox = element("div", { class: "lab-loss-box" }, this.losses);
      this.play.addEventListener("click", () => this.toggle());
      this.scrub.addEventListener("input", () => {
        const step = Number(this.scrub.value); // read first: stopping writes it
        this.stop();
        this.show(step);
      });
      this.again.addEventListener("click", () => this.reset());
    }

    buildRoster() {
      const menu = (label, entries, change) => {
        const select = element("select", {},
          ...Object.entries(entries).map(([name, { title }]) =>
            element("option", { value: name }, title)));
        select.addEventListener("change", () => change(select.value));
        return [select, element("label", { class: "lab-menu" }, element("span", {}, label), select)];
      };
      const [land, landMenu] = menu("Landscape", OPTLIB.landscapes, name => this.visit(name));
      const [plan, planMenu] = menu("Schedule", OPTLIB.schedules, name => {
        this.schedule = name;
        this.run();
      });
      this.landMenu = land;
      this.planMenu = plan;
      this.menus = element("div", { class: "lab-menus" }, landMenu, this.again);
      if ("schedules" in this.root.dataset) this.menus.append(planMenu);
      this.chips = this.offered.map(name => this.buildChip(name));
      this.roster = element("fieldset", { class: "lab-roster" },
        element("legend", {}, "Optimizers"), ...this.chips);
      this.rows = element("div", { class: "lab-rows" });
    }

    buildChip(name) {
      const box = element("input", { type: "checkbox", value: name });
      box.addEventListener("change", () => {
        this.shown = this.offered.filter(n => (n === name ? box.checked : this.shown.includes(n)));
        this.buildRows();
        this.run();
      });
      return element("label", { class: "lab-chip" }, box, OPTLIB.rules[name].title);
    }

    buildRows() {
      this.rows.replaceChildren(...this.shown.map(name => this.buildRow(name)));
    }

    buildRow(name) {
      const { title } = OPTLIB.rules[name];
      const runner = this.runner(name);
      const rate = element("input", {
        type: "range", min: -RATES, max: RATES, step: 0.01, "aria-label": `Learning rate of ${title}`,
      });
      rate.addEventListener("input", () => {
        const base = this.base(name);
        const near = Math.abs(Number(rate.value)) < 0.005;
        this.rates[name] = near ? base : Number((base * 10 ** rate.value).toPrecision(3));
        this.run();
      });
      const row = element("div", {
        class: "lab-row", "data-optimizer": name, style: `--ink: var(--lab-ink-${runner.colour})`,
      },
        element("div", {}, swatch(runner.dash), element("span", { class: "lab-name" }, title),
          element("span", { class: "lab-loss" })),
        element("div", {}, element("span", { class: "lab-rate" }), rate));
      return row;
    }

    // -- what it does

    /** The rate at the middle of the slider: the page's, the landscape's, or a tuned one. */
    base(name) {
      if (this.given[name] && this.land === this.defaults.landscape) return this.given[name];
      if (this.landscape.rates[name]) return this.landscape.rates[name];
      const key = `${this.land} ${name}`;
      this.tuned[key] ??= tune(OPTLIB.rules[name], this.landscape, { steps: this.steps });
      return this.tuned[key];
    }

    reset() {
      this.shown = [...this.defaults.shown];
      this.schedule = this.defaults.schedule;
      this.planMenu.value = this.schedule;
      for (const chip of this.chips) {
        const box = chip.firstChild;
        box.checked = this.shown.includes(box.value);
      }
      this.visit(this.defaults.landscape);
    }

    visit(land) {
      this.stop();
      this.land = land;
      this.landMenu.value = land;
      this.lands[land] ??= survey(this.landscape);
      this.rates = {};
      this.at = this.steps;
      this.start = [...this.landscape.start];
      this.shows.textContent = this.landscape.shows;
      this.buildRows();
      this.run();
    }

    run() {
      this.paths = {};
      for (const name of this.shown) {
        this.rates[name] ??= this.base(name);
        this.paths[name] = race(OPTLIB.rules[name], this.landscape, this.start, {
          steps: this.steps,
          lr: this.rates[name],
          schedule: OPTLIB.schedules[this.schedule].rate,
        });
      }
      this.show(this.at);
    }

    show(at) {
      this.at = at;
      this.write();
      if (!this.waiting) {
        this.waiting = requestAnimationFrame(() => {
          this.waiting = 0;
          this.paint();
        });
      }
    }

    /** Numbers and names; all that a reader, a screen reader and the tests can read. */
    write() {
      const step = Math.floor(this.at);
      const still = wantsStillness();
      const title = this.playing ? "Pause" : still ? "Ten steps" : "Play";
      if (this.play.textContent !== title) this.play.textContent = title;
      this.play.classList.toggle("lab-playing", Boolean(this.playing));
      this.scrub.value = step;
      this.count.textContent = `step ${step}`;
      const [x, y] = this.start;
      const [u, v] = toShare(this.start, this.landscape.domain);
      this.handle.style.left = `${100 * u}%`;
      this.handle.style.top = `${100 * v}%`;
      this.handle.setAttribute("aria-label", `Start point, x ${format(x)}, y ${format(y)}`);
      Object.assign(this.root.dataset, { x, y, step, land: this.land, schedule: this.schedule });
      const told = this.shown.map(name => this.writeRow(name, step));
      this.tell(`Step ${step}. Losses: ${told.join(", ")}.`);
    }

    writeRow(name, step) {
      const { losses, diverged } = this.paths[name];
      const row = this.rows.querySelector(`[data-optimizer="${name}"]`);
      const gone = diverged !== null && step >= diverged;
      const loss = losses[Math.min(step, losses.length - 1)];
      const lr = this.rates[name];
      const slider = row.querySelector("input");
      slider.value = Math.log10(lr / this.base(name));
      slider.setAttribute("aria-valuetext", format(lr));
      row.querySelector(".lab-rate").textContent = `lr ${format(lr)}`;
      const text = gone ? `diverged at step ${diverged}` : `loss ${format(loss)}`;
      row.querySelector(".lab-loss").textContent = text;
      row.classList.toggle("lab-gone", gone);
      Object.assign(row.dataset, { lr, loss, diverged: diverged === null ? "" : diverged });
      return `${OPTLIB.rules[name].title} ${gone ? text : format(loss)}`;
    }

    /** Speaks once things have been quiet for a while, not at every step of a drag. */
    tell(text) {
      clearTimeout(this.talking);
      this.talking = setTimeout(() => {
        if (!this.playing && this.touched) this.status.textContent = text;
      }, 800);
    }

    toggle() {
      this.touched = true;
      if (this.playing) return this.stop();
      if (wantsStillness()) return this.show(this.at >= this.steps ? 0 : this.at + 10);
      if (this.at >= this.steps) this.at = 0;
      let last = performance.now();
      const tick = now => {
        // A busy browser's first frame may carry a time before the click.
        this.at = Math.min(this.steps, this.at + Math.max(0, now - last) / 1000 * SPEED);
        last = now;
        this.playing = this.at < this.steps ? requestAnimationFrame(tick) : 0;
        this.write();
        this.paint();
      };
      this.playing = requestAnimationFrame(tick);
      this.write();
    }

    stop() {
      cancelAnimationFrame(this.playing);
      this.playing = 0;
      if (this.paths) this.show(Math.floor(this.at));
    }

    // -- moving the start

    place(point) {
      this.touched = true;
      this.start = point.map((x, i) => {
        const [low, high] = this.landscape.domain[i];
        const grid = (high - low) / 200; // so that a hand can hit 0, and a key come back to it
        return clamp(Math.round(x / grid) * grid + 0, [low, high]);
      });
      this.run();
    }

    moveTo(event) {
      const box = this.canvas.getBoundingClientRect();
      const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      this.place(fromShare(share, this.landscape.domain));
    }

    drag(event, from) {
      event.preventDefault();
      this.handle.focus({ preventScroll: true });
      from.setPointerCapture(event.pointerId);
      const move = e => this.moveTo(e);
      from.addEventListener("pointermove", move);
      const drop = () => from.removeEventListener("pointermove", move);
      from.addEventListener("pointerup", drop, { once: true });
      from.addEventListener("pointercancel", drop, { once: true });
    }

    nudge(event) {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (!way[event.key]) return;
      event.preventDefault();
      const share = event.shiftKey ? 0.1 : 0.01;
      this.place(this.start.map((x, i) => {
        const [low, high] = this.landscape.domain[i];
        return x + way[event.key][i] * share * (high - low);
      }));
    }

    // -- painting

    ink() {
      const style = getComputedStyle(this.root);
      const read = name => style.getPropertyValue(name).trim();
      const numbers = name => read(name).split(/[\s,]+/).map(Number);
      return {
        low: numbers("--lab-low"),
        high: numbers("--lab-high"),
        line: read("--lab-line"),
        text: read("--lab-text"),
        faint: read("--lab-faint"),
        paper: read("--lab-paper"),
        halo: read("--lab-halo"),
        runners: Array.from({ length: COLOURS }, (_, i) => read(`--lab-ink-${i}`)),
        font: style.fontFamily,
      };
    }

    pen(canvas) {
      const { width, height } = canvas.getBoundingClientRect();
      const ratio = window.devicePixelRatio || 1;
      const size = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      return [pen, width, height];
    }

    paint() {
      if (!this.stage.clientWidth) return; // in a closed dropdown or tab; opening it resizes it
      const ink = this.ink();
      this.paintPaths(ink);
      this.paintLosses(ink);
      const names = this.shown.map(name => OPTLIB.rules[name].title).join(", ");
      const what = `Contour map of the ${this.landscape.title.toLowerCase()}`;
      this.canvas.setAttribute("aria-label", `${what} with the paths of ${names || "nobody"}`);
      this.losses.setAttribute("aria-label", `Loss of ${names || "nobody"} against the step`);
    }

    paintPaths(ink) {
      const [pen, width, height] = this.pen(this.canvas);
      const pixel = point => {
        const [u, v] = toShare(point, this.landscape.domain);
        return [u * width, v * height];
      };
      this.paintBackground(pen, width, height, ink);
      paintMinimum(pen, pixel(this.landscape.minimum), ink);
      const heads = [];
      for (const name of this.shown) {
        const runner = this.runner(name);
        const pixels = upTo(this.paths[name].points, this.at).map(pixel);
        paintLine(pen, pixels, runner, ink);
        for (const p of apart(pixels)) paintDot(pen, p, 2, ink.runners[runner.colour]);
        heads.push([pixels[pixels.length - 1], ink.runners[runner.colour]]);
      }
      for (const [p, colour] of heads) paintDot(pen, p, 6, colour, ink.paper);
    }

    /** Land and lines change with theme, size and landscape only: painted once for each. */
    paintBackground(pen, width, height, ink) {
      const key = [this.land, width, height, ink.low, ink.line, window.devicePixelRatio].join();
      if (this.backgroundKey !== key) {
        this.backgroundKey = key;
        const ratio = window.devicePixelRatio || 1;
        this.background = element("canvas", { width: this.canvas.width, height: this.canvas.height });
        const inner = this.background.getContext("2d");
        inner.scale(ratio, ratio);
        paintLand(inner, width, height, this.lands[this.land], ink);
      }
      pen.drawImage(this.background, 0, 0, width, height);
    }

    paintLosses(ink) {
      const [pen, width, height] = this.pen(this.losses);
      const box = { left: 44, right: width - 8, top: 20, bottom: height - 20 };
      const [low, high] = this.decades();
      const across = t => box.left + t / this.steps * (box.right - box.left);
      const up = loss => {
        const decade = Math.log10(Math.max(loss, 10 ** low));
        return box.bottom - (decade - low) / (high - low) * (box.bottom - box.top);
      };
      this.paintAxes(pen, box, low, high, across, up, ink);
      pen.save();
      pen.beginPath();
      pen.rect(box.left, box.top - 3, box.right - box.left + 4, box.bottom - box.top + 6);
      pen.clip();
      for (const name of this.shown) {
        const curve = this.paths[name].losses.map((loss, t) => [t, loss]);
        const seen = upTo(curve, this.at).filter(([, loss]) => Number.isFinite(loss));
        paintLine(pen, seen.map(([t, loss]) => [across(t), up(loss)]), this.runner(name), ink);
      }
      pen.restore();
    }

    /** The decades that the curves need: at most eight down from the start, one up. */
    decades() {
      const first = Math.log10(Math.max(this.landscape.value(...this.start), 1e-6));
      const all = this.shown.flatMap(name => this.paths[name].losses).filter(x => x > 0);
      const lowest = Math.log10(Math.min(10 ** first, ...all));
      const high = Math.ceil(first + 0.3);
      return [Math.max(Math.floor(lowest), high - 9), high];
    }

    paintAxes(pen, box, low, high, across, up, ink) {
      pen.font = `12px ${ink.font}`;
      pen.fillStyle = ink.text;
      pen.strokeStyle = ink.faint;
      pen.lineWidth = 1;
      pen.textBaseline = "alphabetic";
      pen.textAlign = "left";
      pen.fillText("loss, log scale", box.left, 12);
      pen.textAlign = "right";
      pen.fillText("step", box.right, box.bottom + 16);
      const every = Math.ceil((high - low) / 3);
      pen.textBaseline = "middle";
      pen.beginPath();
      for (let decade = high; decade >= low; decade -= every) {
        const y = Math.round(up(10 ** decade)) + 0.5;
        pen.moveTo(box.left, y);
        pen.lineTo(box.right, y);
        pen.fillText(format(10 ** decade).replace(".0e", "e"), box.left - 6, y);
      }
      pen.stroke();
      pen.textBaseline = "alphabetic";
      pen.textAlign = "center";
      for (const t of [0, this.steps / 2]) pen.fillText(String(t), across(t), box.bottom + 16);
    }

    // -- what happens around it

    watch() {
      const repaint = () => this.show(this.at);
      new ResizeObserver(repaint).observe(this.stage);
      new MutationObserver(repaint).observe(document.documentElement, {
        attributes: true, attributeFilter: ["data-theme", "class"],
      });
      for (const query of ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)"]) {
        matchMedia(query).addEventListener("change", repaint);
      }
      this.root.addEventListener("input", () => { this.touched = true; });
    }
  }

  function swatch(dash) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const line = document.createElementNS(space, "line");
    svg.setAttribute("class", "lab-swatch");
    svg.setAttribute("viewBox", "0 0 34 12");
    svg.setAttribute("aria-hidden", "true");
    const ends = { x1: 1, x2: 33, y1: 6, y2: 6, "stroke-dasharray": dash.join(" ") || "none" };
    for (const [name, value] of Object.entries(ends)) line.setAttribute(name, value);
    svg.append(line);
    return svg;
  }

  function open() {
    for (const root of document.querySelectorAll(".lab:not(.lab-open)")) {
      root.classList.add("lab-open");
      root.lab = new Lab(root);
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", open);
  else open();
})();
