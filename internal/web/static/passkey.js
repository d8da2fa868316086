// The touch of a passkey (WebAuthn level 3). A form marked data-passkey asks
// for one ("get") or makes one ("create") with the options that the server
// wrote into it, and sends the authenticator's answer with its other fields.
// The page works without this file, for all who sign in another way.
(() => {
  "use strict";
  const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (b) => b && btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const ids = (list) => (list || []).map((c) => ({ ...c, id: bytes(c.id) }));

  const ask = async (how, o) => {
    o.challenge = bytes(o.challenge);
    if (how === "get") return navigator.credentials.get({ publicKey: { ...o, allowCredentials: ids(o.allowCredentials) } });
    o.user.id = bytes(o.user.id);
    return navigator.credentials.create({ publicKey: { ...o, excludeCredentials: ids(o.excludeCredentials) } });
  };
  const answer = (c) => {
    const r = c.response, out = { clientDataJSON: text(r.clientDataJSON) };
    if (r.attestationObject) {
      out.attestationObject = text(r.attestationObject);
      if (r.getTransports) out.transports = r.getTransports();
    } else {
      out.authenticatorData = text(r.authenticatorData);
      out.signature = text(r.signature);
      if (r.userHandle) out.userHandle = text(r.userHandle);
    }
    return JSON.stringify({
      id: c.id, rawId: text(c.rawId), type: c.type, response: out,
      authenticatorAttachment: c.authenticatorAttachment || undefined, clientExtensionResults: c.getClientExtensionResults(),
    });
  };

  if (!window.PublicKeyCredential || !navigator.credentials) return;
  for (const f of document.querySelectorAll("form[data-passkey]")) {
    const button = f.querySelector("[data-passkey-do]"), note = f.querySelector("[data-passkey-note]");
    f.querySelector("[data-passkey-off]").hidden = true;
    button.hidden = false;
    // Enter in a field of the form is a press of the button, and never sends a form without its answer.
    f.addEventListener("submit", (e) => { if (!f.elements[f.dataset.into || "_credential"].value) { e.preventDefault(); e.stopImmediatePropagation(); button.click(); } }, true);
    button.addEventListener("click", async () => {
      note.hidden = true;
      button.setAttribute("aria-disabled", "true");
      try {
        f.elements[f.dataset.into || "_credential"].value = answer(await ask(f.dataset.passkey, JSON.parse(f.dataset.options)));
      } catch {
        note.textContent = f.dataset.failed;
        note.hidden = false;
        return;
      } finally {
        button.removeAttribute("aria-disabled");
      }
      f.requestSubmit();
    });
  }
})();
