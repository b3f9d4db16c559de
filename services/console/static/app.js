// The console in the browser: pages that go on by themselves, a slider over the log, dialogs,
// the keyboard, and the large chart. Everything else is a page of the server.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const shell = () => $("#shell");
  $("#early")?.remove();  // the frame of a page that took long; the page has its own
  if (!shell()) return;  // what went wrong stands there instead
  document.title = shell().dataset.title;
  let scrubbing = false, drawing = false, waiting = 0, asked = 0, chart = null, typed = "";

  // ---- The page, drawn anew where it changed --------------------------------------------------
  const busyWithIt = () => {
    const at = document.activeElement;
    return scrubbing || document.hidden || $("dialog[open]") ||
      (at && at.closest("#shell") && at.matches("input:not([type=range]), select, textarea")) ||
      String(getSelection()).length > 0;
  };
  const draw = async (url) => {
    const mine = ++asked;
    let answer;
    try {
      answer = await fetch(url, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
    } catch { return lost(true); }
    const to = answer.headers.get("HX-Redirect");
    if (to) { location.href = to; return; }
    if (answer.status >= 500) return lost(true);
    const text = await answer.text();
    if (mine !== asked) return;  // a newer one is on its way
    if (!answer.ok) { location.href = url; return; }
    lost(false);
    const open = [...document.querySelectorAll("details[open][id]")].map((each) => each.id);
    await htmx.swap({ text, target: shell(), swap: "outerMorph", sourceElement: document.body, request: {} });
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (mine === asked) after();  // else the slider was moved on meanwhile
  };
  const lost = (is) => {
    $("#lost").hidden = !is;
    if (is) pulse("lost");
  };
  const pulse = (state) => {
    const at = $("#pulse");
    at.dataset.state = state;
    at.lastElementChild.textContent = state;
  };
  const after = () => {
    document.title = shell().dataset.title;
    const slider = $("#slider"), bar = $("#timebar");
    if (!scrubbing) {
      const { head, position, past } = shell().dataset;
      slider.max = head;
      slider.min = Math.min(Number(slider.min), Number(position));
      slider.value = position;
      bar.classList.toggle("past", past === "1");
    }
    charted();
  };
  const refresh = () => {
    if (shell().dataset.past === "1" || busyWithIt()) { waiting = 1; return; }
    if (drawing) { waiting = 1; return; }  // a slow server is asked once at a time
    waiting = 0;
    drawing = true;
    draw(location.href).finally(() => { drawing = false; });
  };
  const live = $("#live");
  live?.addEventListener("moved", () => {
    const at = $("#pulse");
    if (shell().dataset.past !== "1") pulse("live");
    at.classList.remove("beat");
    requestAnimationFrame(() => at.classList.add("beat"));
    refresh();
  });
  live?.addEventListener("lost", () => lost(true));
  live?.addEventListener("expired", () => { if (!secret()) location.reload(); });
  document.addEventListener("htmx:sse:error", () => lost(true));
  document.addEventListener("htmx:sse:after:connection", () => lost(false));
  document.addEventListener("htmx:sse:after:message", () => {
    const rows = $("#event-rows");
    if (!rows) return;
    for (const row of rows.querySelectorAll("tr:not([data-seen])")) {
      row.dataset.seen = "";
      row.classList.add("new");
    }
    while (rows.children.length > 300) rows.lastElementChild.remove();
  });
  for (const row of document.querySelectorAll("#event-rows tr")) row.dataset.seen = "";
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  setInterval(() => { if (waiting) refresh(); }, 1000);

  // ---- Time -----------------------------------------------------------------------------------
  const at = (position) => {
    const url = new URL(location.href);
    const newest = position === null || position >= Number($("#slider").max);
    if (newest) url.searchParams.delete("as_of"); else url.searchParams.set("as_of", position);
    for (const name of ["done", "min_position", "before"]) url.searchParams.delete(name);
    return url;
  };
  const go = (position, push) => {
    const url = at(position);
    const was = shell().dataset.past === "1";
    // Rows of events are followed or not for as long as a page is there, so a new one is opened.
    const crosses = url.searchParams.has("as_of") === !was;
    if (crosses && live?.hasAttribute("hx-target")) { if (push) location.href = url; return; }
    if (!live && !url.searchParams.has("as_of")) { location.href = url; return; }
    history[push || !was ? "pushState" : "replaceState"](null, "", url);
    draw(url);
  };
  let timer;
  document.addEventListener("input", (event) => {
    if (event.target.id !== "slider") return;
    scrubbing = true;
    const position = Number(event.target.value);
    $("#at").lastElementChild.textContent = `position ${position.toLocaleString("en")}`;
    event.target.setAttribute("aria-valuetext", `position ${position}`);
    clearTimeout(timer);
    timer = setTimeout(() => go(position, false), 90);
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "slider") {
      scrubbing = false;
      clearTimeout(timer);
      go(Number(event.target.value), true);
    } else if (event.target.id === "range" || event.target.closest("form[data-auto]")) {
      const form = event.target.form;
      const url = new URL(form.action);
      for (const [name, value] of new FormData(form)) if (value) url.searchParams.set(name, value);
      if (form.id === "timebar" && url.searchParams.get("range") === "15m") url.searchParams.delete("range");
      location.href = url;
    }
  });
  addEventListener("popstate", () => draw(location.href));

  // ---- Dialogs --------------------------------------------------------------------------------
  const dialog = $("#dialog"), body = $("#dialog-body");
  const secret = () => $("#dialog[open] .secret");  // the only copy of it there will be
  const show = async (answer) => {
    const to = answer.headers.get("HX-Redirect");
    if (to) { location.href = to; return; }
    body.innerHTML = await answer.text();
    if (!dialog.open) dialog.showModal();
    (body.querySelector("[aria-invalid]") ||
      body.querySelector("[autofocus], input:not([type=hidden]), select, textarea") || dialog).focus();
  };
  const ask = async (url, options = {}) => {
    try {
      await show(await fetch(url, { ...options, headers: { "HX-Request": "true", ...options.headers } }));
    } catch { say("The console does not answer. Try again."); }
  };
  const say = (text) => {
    $("#toast").textContent = text;
    setTimeout(() => { $("#toast").textContent = ""; }, 4000);
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a, button");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.matches("[data-dialog]")) { event.preventDefault(); ask(link.href); }
    else if (link.matches("[data-close]") && dialog.open) { event.preventDefault(); dialog.close(); }
    else if (link.matches("[data-search]")) palette();
    else if (link.matches("[data-theme-switch]")) theme();
    else if (link.matches("[data-step]")) { event.preventDefault(); step(Number(link.dataset.step)); }
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("#dialog [data-ask]")) return;
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    ask(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) })
      .finally(() => { button.disabled = false; });
  });
  for (const each of document.querySelectorAll("dialog")) {
    let pressed = null;  // a text selected in the dialog may end outside, and is no click there
    each.addEventListener("pointerdown", (event) => { pressed = event.target; });
    each.addEventListener("click", (event) => {
      if (event.target === each && pressed === each && !secret()) each.close();
    });
    each.addEventListener("cancel", (event) => { if (secret()) event.preventDefault(); });
  }
  // Only its button closes a secret; a second Escape would close it whatever `cancel` says.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !secret()) return;
    event.preventDefault();
    body.querySelector(".acts .button").focus();
  }, true);
  const step = (by) => go(Number(shell().dataset.position) + by, true);

  // ---- Theme ----------------------------------------------------------------------------------
  const theme = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("qm-theme", root.dataset.theme); } catch { /* not kept, then */ }
    charted(true);
  };

  // ---- Search and keys ------------------------------------------------------------------------
  const box = $("#palette"), input = $("#palette-input"), hits = $("#hits");
  const palette = () => { if (box.open || secret()) return; input.value = ""; box.showModal(); find(); };
  let finding = 0;
  const find = async () => {
    const mine = ++finding;
    const url = new URL("/search", location.href);
    url.search = new URLSearchParams({ q: input.value });
    const as_of = new URL(location.href).searchParams.get("as_of");
    if (as_of) url.searchParams.set("as_of", as_of);
    const text = await fetch(url, { headers: { "HX-Request": "true" } }).then((a) => a.ok ? a.text() : "", () => "");
    if (mine === finding) { hits.innerHTML = text; mark(0); }
  };
  const mark = (by) => {
    const all = [...hits.querySelectorAll("a[role=option]")];
    const now = Math.max(0, all.findIndex((each) => each.getAttribute("aria-selected") === "true"));
    const next = all.length ? (now + by + all.length) % all.length : -1;
    all.forEach((each, place) => each.setAttribute("aria-selected", String(place === next)));
    if (all[next]) { input.setAttribute("aria-activedescendant", all[next].id); all[next].scrollIntoView({ block: "nearest" }); }
  };
  input?.addEventListener("input", find);
  input?.form.addEventListener("submit", (event) => {
    event.preventDefault();
    hits.querySelector("a[aria-selected=true]")?.click();
  });
  input?.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); mark(event.key === "ArrowDown" ? 1 : -1); }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=range]), select, textarea");
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); palette(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    if (event.key === "/") { event.preventDefault(); palette(); }
    else if (event.key === "[") step(-1);
    else if (event.key === "]" && shell().dataset.past === "1") step(1);
    else if (event.key === "l" && shell().dataset.past === "1") location.href = at(null);
    else if (typed === "g") {
      [...document.querySelectorAll(".side a")].find((each) => each.dataset.key === event.key)?.click();
    }
    typed = event.key;
  });

  // ---- The large chart ------------------------------------------------------------------------
  const colour = (name, place) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    (place || document.body).append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const charted = async (anew = false) => {
    const place = $("#chart");
    if (!place) { chart = null; return; }
    const url = new URL(place.dataset.chart.split("?")[0], location.href);
    url.search = location.search;
    const data = await fetch(url).then((a) => a.ok ? a.json() : null, () => null);
    if (!data || !$("#chart")) return;
    const rows = [data.at, data.length, data.unacknowledged];
    if (chart && !anew && place.contains(chart.root)) {
      chart.setData(rows, false);
      chart.setScale("x", { min: data.begin, max: data.end });
      return;
    }
    chart?.destroy();
    const ink = colour("--muted"), line = colour("--line"), own = colour("--accent");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "11px system-ui" };
    const paths = uPlot.paths.stepped({ align: 1 });
    chart = new uPlot({
      width: place.clientWidth, height: 226, legend: { live: true }, cursor: { y: false },
      tzDate: (at_) => uPlot.tzDate(new Date(at_ * 1e3), "Etc/UTC"),
      scales: { x: { time: true, min: data.begin, max: data.end }, y: { range: (_, __, most) => [0, Math.max(4, Math.ceil(most * 1.15))] } },
      axes: [{ ...axis, space: 80, values: (_, splits, __, ___, step) => splits.map((each) => {
        const said = new Date(each * 1e3).toISOString();
        return step >= 86400 ? said.slice(5, 10) : said.slice(11, step < 60 ? 19 : 16);
      }) }, { ...axis, size: 42, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000] }],
      series: [{ label: "UTC", value: (_, each) => each == null ? "–" : new Date(each * 1e3).toISOString().slice(11, 19) }, { label: "queued", stroke: own, width: 1.6, fill: own.replace("rgb(", "rgba(").replace(")", ", .13)"), paths, points: { show: false } },
        { label: "in work", stroke: ink, width: 1, paths, points: { show: false } }],
    }, rows, place);
    chart.setScale("x", { min: data.begin, max: data.end });
  };
  $(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  addEventListener("resize", () => { const place = $("#chart"); if (chart && place) chart.setSize({ width: place.clientWidth, height: 226 }); });
  document.querySelector("[data-done]") && setTimeout(() => {
    const url = new URL(location.href);
    for (const name of ["done", "min_position"]) url.searchParams.delete(name);
    history.replaceState(null, "", url);
  }, 4000);
  charted();
})();
