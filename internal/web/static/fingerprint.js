// Fingerprints a file on the user's own machine: the file never leaves it.
// Loaded only by pages that propose or look up a signal.
(() => {
  "use strict";
  const field = document.querySelector("[data-fingerprint]"), input = document.querySelector("#file-here");
  if (!field || !input || typeof WebAssembly !== "object") return;
  const out = document.querySelector("#file-said"), text = field.dataset, base = text.fingerprint;
  let ready;
  const load = () => ready ||= new Promise((done, fail) => {
    const s = document.createElement("script");
    s.src = base + "wasm_exec.js";
    s.onerror = fail;
    s.onload = async () => {
      try {
        const go = new Go(), m = await WebAssembly.instantiateStreaming(fetch(base + "fingerprint.wasm"), go.importObject);
        go.run(m.instance);
        done();
      } catch (e) { fail(e); }
    };
    document.head.append(s);
  });
  input.closest("[hidden]")?.removeAttribute("hidden");
  const set = (id, v) => { const f = document.getElementById(id); if (f) { f.value = v; f.dispatchEvent(new Event("input", { bubbles: true })); } };
  const most = 256 * 1024 * 1024; // as in cmd/fingerprintwasm, before the file is read into memory
  let turn = 0; // of the file that was chosen last: one before it, if slower, says nothing
  const take = async (file) => {
    if (!file) return;
    const mine = ++turn;
    for (const id of ["value", "quality", "sha256", "q"]) set(id, ""); // of the file before
    if (file.size > most) { out.textContent = text.large; return; }
    out.textContent = text.working;
    try {
      await load();
      const bytes = new Uint8Array(await file.arrayBuffer());
      if (mine !== turn) return;
      const r = JSON.parse(siagaFingerprint(bytes));
      if (r.pdq) { set("kind", "pdq"); set("value", r.pdq); set("quality", r.quality); } else if (r.sha256) { set("kind", "sha256"); set("value", r.sha256); set("quality", ""); }
      set("sha256", r.sha256 || "");
      set("q", r.pdq || r.sha256 || "");
      out.textContent = r.error ? text[r.error] || text.failed : text.done.replace("{n}", r.quality);
    } catch { if (mine === turn) out.textContent = text.failed; }
  };
  input.addEventListener("change", () => take(input.files[0]));
  const area = field.closest(".field") || field;
  area.addEventListener("dragover", (e) => e.preventDefault());
  area.addEventListener("drop", (e) => { e.preventDefault(); take(e.dataTransfer.files[0]); });
})();
