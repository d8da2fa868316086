// Live regions, local clocks, forms that are sent once. Everything works
// without this file; it only saves reloading.
(() => {
  "use strict";
  const $ = (sel, from = document) => from.querySelector(sel);
  const $$ = (sel, from = document) => [...from.querySelectorAll(sel)];
  const body = document.body;
  const text = body.dataset; // data-live-…: sentences from the catalogue

  // A form posts once: the button keeps its width and says so.
  document.addEventListener("submit", (e) => {
    const f = e.target, b = e.submitter || $("button[type=submit]", f);
    if (f.dataset.sending) { e.preventDefault(); return; }
    if ((f.method || "").toLowerCase() !== "post") return;
    f.dataset.sending = "1";
    if (f.dataset.keep) try { sessionStorage.setItem("siaga-sent", "siaga:" + f.dataset.keep); } catch { /* storage may be off */ }
    if (b && text.liveSending) {
      b.style.minInlineSize = b.offsetWidth + "px";
      b.dataset.was ||= b.textContent; b.textContent = text.liveSending; b.setAttribute("aria-disabled", "true");
    }
    if (e.defaultPrevented || !text.liveUnsent || !/^\/(incidents|signals|groups|asks)\b/.test(f.getAttribute("action") || "")) return;
    e.preventDefault();
    send(f, b);
  });
  const rest = (f) => {
    delete f.dataset.sending;
    for (const b of [...f.elements]) if (b.dataset.was) { b.textContent = b.dataset.was; b.removeAttribute("aria-disabled"); }
  };
  addEventListener("pageshow", () => $$("form[data-sending]").forEach(rest));

  // What acts in a crisis is sent from here, so that without an answer the page
  // stays as it is, with its text and its key: trying again never acts twice.
  // Where it was done the answer leads on; whatever else the answer is, it is
  // shown, and nothing is sent again. What is no page is no answer.
  const send = async (f, b) => {
    const body = new URLSearchParams(new FormData(f));
    if (b && b.name) body.append(b.name, b.value);
    let answer, page;
    try {
      answer = await fetch(f.getAttribute("action"), { method: "POST", body, headers: { Accept: "text/html" }, signal: AbortSignal.timeout(20000) });
      page = await answer.text();
      if (!answer.redirected && !/^text\/html\b/.test(answer.headers.get("Content-Type"))) throw new Error(answer.status);
    } catch {
      rest(f);
      let p = $(".unsent", f);
      if (!p) {
        p = document.createElement("p");
        p.className = "banner warn unsent"; p.setAttribute("role", "alert"); p.tabIndex = -1;
        const at = b && f.contains(b) && b.closest("p, .actions, li") || f.lastElementChild;
        if (f.contains(at)) at.before(p); else f.append(p);
      }
      p.textContent = text.liveUnsent;
      if (b) b.textContent = text.liveRetry;
      p.scrollIntoView({ block: "nearest" });
      return;
    }
    if (!answer.redirected) { show(answer.url, page); return; }
    if (answer.url === location.href) location.reload(); else location.assign(answer.url);
  };

  // The answer takes the page's place, at the address that was sent to: its own
  // scripts run, what this page listened to ends. Back leads to the form again.
  const ends = [];
  const show = (url, page) => {
    ends.forEach((end) => end());
    if (!window.siagaShown) { history.replaceState({ siagaForm: true }, ""); history.pushState(null, "", url); } else history.replaceState(null, "", url);
    window.siagaShown = performance.now();
    document.open(); document.write(page); document.close();
    scrollTo(0, 0);
  };
  addEventListener("popstate", (e) => { if (window.siagaShown && e.state?.siagaForm) location.reload(); });
  $(".summary.errors")?.focus();

  // What is typed into a form marked data-keep stays in this tab until sent. All
  // that was chosen comes back, the label and the readers too: the hidden field
  // that says which readers the page shows does not, so that others are shown
  // before it is sent. A text that the node filled in gives way only if it is the
  // one that was there before; the answer to a form has what was sent already.
  $$("form[data-keep]").forEach((f) => {
    const key = "siaga:" + f.dataset.keep;
    const fields = () => $$("input,textarea,select", f).filter((i) => i.name && i.type !== "hidden" && i.type !== "password");
    const ticked = (i) => i.type === "radio" || i.type === "checkbox";
    try {
      const kept = JSON.parse(sessionStorage.getItem(key) || "{}");
      if (!("posted" in text)) fields().forEach((i) => {
        if (!(i.name in kept)) return;
        const was = ticked(i) ? i.checked : i.value, now = kept[i.name];
        if (ticked(i)) i.checked = now.includes(i.value);
        else if (i.type === "select-one") { if ([...i.options].some((o) => o.value === now)) i.value = now; }
        else if (!i.value || kept["=" + i.name] === i.defaultValue) i.value = now;
        const shut = i.closest("details:not([open])");
        if (shut && was !== (ticked(i) ? i.checked : i.value)) shut.open = true;
      });
    } catch { /* storage may be off */ }
    f.addEventListener("input", () => {
      const kept = {};
      fields().forEach((i) => {
        if (ticked(i)) { kept[i.name] ||= []; if (i.checked) kept[i.name].push(i.value); }
        else { kept[i.name] = i.value; kept["=" + i.name] = i.defaultValue; }
      });
      try { sessionStorage.setItem(key, JSON.stringify(kept)); } catch { /* storage may be off */ }
    });
  });
  // The page that says that a form was taken lets its text go.
  if ($("[data-sent]")) try { sessionStorage.removeItem(sessionStorage.getItem("siaga-sent")); sessionStorage.removeItem("siaga-sent"); } catch { /* storage may be off */ }

  // A file's text is put into the field beside it, in the browser; a page prints.
  $$("[data-file-for]").forEach((box) => {
    box.hidden = false;
    $("input", box).addEventListener("change", async (e) => {
      const file = e.target.files[0];
      if (file && file.size <= 131072) document.getElementById(box.dataset.fileFor).value = await file.text();
    });
  });
  $$("[data-print]").forEach((b) => { b.hidden = false; b.addEventListener("click", () => print()); });

  // Esc closes what is open. Single letters act only if the reader chose so,
  // and never while typing (WCAG 2.1.4).
  let went = 0;
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") {
      const open = $$("details[open][data-menu]").pop();
      if (open) { open.open = false; $("summary", open).focus(); }
      else if (document.activeElement && document.activeElement !== document.body) document.activeElement.blur();
      return;
    }
    if (!("keys" in text) || e.ctrlKey || e.metaKey || e.altKey || e.isComposing || e.target.closest("input,textarea,select,[contenteditable]")) return;
    const rows = $$("main .rows > li a[href], main tbody th a[href]").filter((a) => a.offsetParent);
    const at = rows.indexOf(document.activeElement);
    const go = (to) => { e.preventDefault(); location.assign(to); };
    const press = (sel) => { const b = $(sel); if (b) { e.preventDefault(); b.click(); } };
    if (went && Date.now() - went < 1500) {
      went = 0;
      const to = { b: "/", i: "/incidents", s: "/signals", c: "/cases", e: "/edges" }[e.key];
      if (to) go(to);
      return;
    }
    switch (e.key) {
    case "g": went = Date.now(); break;
    case "j": case "k": { const n = rows[Math.min(rows.length - 1, Math.max(0, at + (e.key === "j" ? 1 : -1)))]; if (n) { e.preventDefault(); n.focus(); } break; }
    case "o": if (at >= 0) { e.preventDefault(); rows[at].click(); } break;
    case "/": { const f = $("main input[type=search]") || $("#seek"); if (f) { e.preventDefault(); f.focus(); } break; }
    case "n": if ($("a[href='/incidents/new']")) go("/incidents/new"); break;
    case "?": go("/help/keys"); break;
    case "v": press("#asks a.btn.primary, #asks button.primary"); break;
    case "u": press("[data-key=u]"); break;
    }
  });
  if ("keys" in text) $$("[data-key]").forEach((b) => { const k = document.createElement("kbd"); k.textContent = b.dataset.key; b.append(" ", k); });

  // A form is never replaced: it says how much changed meanwhile, on a page of its own.
  const news = $("#news");
  if (news && window.EventSource) {
    let stream, n = 0, at = text.liveSeq, wait;
    const listen = () => {
      clearTimeout(wait);
      stream = new EventSource("/live?since=" + at);
      const on = (e) => JSON.parse(e.data);
      stream.addEventListener("beat", (e) => { at = on(e).seq || at; });
      stream.addEventListener("change", (e) => {
        const d = on(e);
        at = d.seq || at;
        if (!d.on.includes(news.dataset.watch)) return;
        news.hidden = false;
        news.textContent = text.liveShow.replace("{n}", ++n);
      });
      stream.addEventListener("end", () => stream.close());
      stream.onerror = () => { stream.close(); wait = setTimeout(listen, 5000); };
    };
    document.addEventListener("visibilitychange", () => { if (document.hidden) { stream.close(); clearTimeout(wait); } else listen(); });
    if (!document.hidden) listen();
    ends.push(() => { stream?.close(); clearTimeout(wait); });
  }

  const status = $("#live");
  if (!status || !text.live || !window.EventSource) return;
  const label = $("[data-live-text]", status), icon = $("use", status);
  const topics = text.live.split(" ");
  let seq = Number(text.liveSeq || 0), heard = Date.now(), refreshed = Date.now(), skew = 0, lost = 0, retry = 1, source, timer, again = 0, paused = false, ended = false, told = false;
  // Until the stream tells the time, it is what it was when the page was made; a page from the browser's own store knows none.
  if (performance.getEntriesByType("navigation")[0]?.type === "navigate") { const made = Number(text.liveAt || 0), since = Math.round(performance.now() - (window.siagaShown || 0)); if (made) skew = Date.now() - since - made; if (Math.abs(skew) < 2000) skew = 0; }
  const title = document.title;
  const dirty = new Set(), waiting = new Map(), last = new Map();

  const fill = (s, n) => (s || "").replace("{n}", n);
  const say = (cls, glyph, words) => {
    if (status.className !== "live " + cls) { status.className = "live " + cls; icon.setAttribute("href", "#s-" + glyph); }
    if (label.textContent !== words) label.textContent = words;
  };
  const old = (on) => {
    $$("[data-region]").forEach((r) => {
      r.classList.toggle("old", on);
      const h = $("h2", r), w = h && $(".old-word", h);
      if (on && h && !w) { const s = document.createElement("span"); s.className = "old-word"; s.textContent = text.liveRegion; h.append(s); }
      else if (!on && w) w.remove();
    });
    document.title = on ? text.liveOld + " " + title : title;
  };

  // A region in use is left alone and offers its changes instead.
  const busy = (r) => {
    const s = getSelection();
    return r.contains(document.activeElement) && document.activeElement !== document.body ||
      s && !s.isCollapsed && r.contains(s.anchorNode) || $("details[open][data-menu]", r) || $("[data-changed]", r);
  };
  document.addEventListener("input", (e) => e.target.setAttribute("data-changed", ""));

  const offer = (r, n) => {
    waiting.set(r.dataset.region, n);
    let b = $(".pending", r);
    if (!b) {
      b = document.createElement("button");
      b.type = "button"; b.className = "btn small pending";
      b.addEventListener("click", () => { waiting.delete(r.dataset.region); b.remove(); document.activeElement?.blur(); dirty.add(r.dataset.region); refresh(true); });
      r.prepend(b);
    }
    b.textContent = fill(text.liveShow, n);
  };

  // Each page gives forms new keys: they are no change.
  const same = (a, b) => {
    const [x, y] = [a, b].map((n) => { n = n.cloneNode(true); $$("input[name=_key]", n).forEach((i) => i.setAttribute("value", "")); n.classList.remove("old"); $$(".old-word", n).forEach((w) => w.remove()); return n; });
    return x.isEqualNode(y);
  };

  const refresh = async (force) => {
    const now = Date.now(), names = [...dirty].filter((n) => force || now - (last.get(n) || 0) >= 1000);
    if (!names.length || paused) return;
    names.forEach((n) => { dirty.delete(n); last.set(n, now); });
    const u = new URL(location.href);
    u.searchParams.set("region", names.join(","));
    let answer;
    try {
      answer = await fetch(u, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
    } catch { names.forEach((n) => dirty.add(n)); return; }
    const parts = new DOMParser().parseFromString(await answer.text(), "text/html");
    refreshed = Date.now();
    let said = [];
    for (const fresh of $$("[data-region]", parts)) {
      const have = $(`[data-region="${CSS.escape(fresh.dataset.region)}"]`);
      if (!have || same(have, fresh)) continue;
      if (!force && busy(have)) { offer(have, (waiting.get(fresh.dataset.region) || 0) + 1); continue; }
      const open = $$("details[open]", have).map((d) => d.id).filter(Boolean);
      have.replaceWith(document.adoptNode(fresh));
      open.forEach((id) => { const d = document.getElementById(id); if (d) d.open = true; });
      const h = $("h2", fresh); if (h) said.push(h.textContent.trim());
    }
    if (said.length) announce(said.join(", "));
  };
  const polite = $("#announce"); let quiet = 0, held;
  const announce = (s, whole) => {
    if (!polite) return;
    clearTimeout(held);
    held = setTimeout(() => { quiet = Date.now(); polite.textContent = whole ? s : fill(text.liveChanged, s); }, Math.max(0, 5000 - (Date.now() - quiet)));
  };

  const mark = (on) => {
    for (const r of $$("[data-region]")) {
      if ((r.dataset.topics || "").split(" ").some((t) => on.includes(t))) dirty.add(r.dataset.region);
    }
    refresh();
  };
  const connect = () => {
    if (ended) return;
    source = new EventSource("/live?since=" + seq + "&on=" + encodeURIComponent(topics.join(" ")));
    const heardFrom = (e) => {
      const d = JSON.parse(e.data);
      heard = Date.now(); seq = d.seq || seq; retry = 1; again = 0;
      if (d.at) skew = heard - d.at;
      if (Math.abs(skew) > 2000 && !told) { told = true; announce(fill(text.liveSkew, Math.round(Math.abs(skew) / 1000)), true); }
      if (lost) { lost = 0; old(false); $$("[data-region]").forEach((r) => dirty.add(r.dataset.region)); refresh(); }
      return d;
    };
    source.addEventListener("open", () => { heard = Date.now(); tick(); if (lost) { lost = 0; old(false); $$("[data-region]").forEach((r) => dirty.add(r.dataset.region)); refresh(); } });
    source.addEventListener("beat", heardFrom);
    source.addEventListener("change", (e) => mark(heardFrom(e).on));
    source.addEventListener("end", () => { ended = true; source.close(); location.reload(); });
    source.onerror = () => {
      source.close();
      if (!lost) lost = Date.now();
      clearTimeout(timer);
      again = Date.now() + retry * 1000;
      timer = setTimeout(connect, retry * 1000);
      retry = Math.min(retry * 2, 30);
    };
  };
  const now = document.createElement("button");
  now.type = "button"; now.className = "btn small"; now.hidden = true; now.textContent = text.liveAgain;
  now.addEventListener("click", () => { clearTimeout(timer); source?.close(); connect(); });
  status.after(now);
  const utc = (ms) => new Date(ms).toISOString().slice(11, 19);
  const tick = () => {
    const t = Date.now(), age = Math.max(0, Math.round((t - heard) / 1000));
    now.hidden = !(lost && t - heard > 15000);
    if (paused) say("quiet", "done", fill(text.livePaused, Math.round((t - refreshed) / 1000)));
    else if (lost && t - heard > 15000) {
      old(true);
      say("gone", "fail", text.liveGone.replace("{time}", utc(lost)).replace("{age}", age).replace("{again}", Math.max(0, Math.round((again - t) / 1000))));
    } else if (age >= 15) say("late", "late", fill(text.liveLate, age));
    else say("", "active", fill(text.liveNow, age));
    const server = new Date(t - skew), c = $("#clock time");
    if (c) c.textContent = server.toISOString().slice(11, 19);
    if (dirty.size) refresh();
  };
  const ticking = setInterval(tick, 1000);
  ends.push(() => { ended = true; source?.close(); clearInterval(ticking); clearTimeout(timer); clearTimeout(held); });
  const pause = $("#pause");
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused; pause.setAttribute("aria-pressed", paused); pause.textContent = paused ? text.liveResume : text.livePause;
      if (!paused) refresh(true);
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); clearTimeout(timer); return; }
    $$("[data-region]").forEach((r) => dirty.add(r.dataset.region));
    connect(); refresh(true);
  });
  if (!document.hidden) connect();
})();
