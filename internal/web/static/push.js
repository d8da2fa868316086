// Lets this browser be added as a channel for push messages: it asks the person,
// then the browser for an address, and sends it with the form. Where that cannot
// be, the page says why and what to do; where there is no such thing at all, the
// button stays hidden.
"use strict";
(() => {
  const form = document.querySelector("form[data-push]");
  if (!form || !("serviceWorker" in navigator) || !("PushManager" in window) || !("Notification" in window)) return;
  const button = form.querySelector("[data-push-do]");
  const note = form.querySelector("[data-push-note]");
  const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const say = (words) => { note.textContent = words || ""; note.hidden = !words; };
  // What the person has allowed, at the start and whenever they change it.
  const look = () => {
    const denied = Notification.permission === "denied";
    button.hidden = denied;
    say(denied ? form.dataset.denied : "");
  };
  const subscribe = async () => {
    await navigator.serviceWorker.register("/push-worker.js", { scope: "/" });
    const { pushManager } = await navigator.serviceWorker.ready;
    const options = { userVisibleOnly: true, applicationServerKey: bytes(form.dataset.push) };
    try {
      return await pushManager.subscribe(options);
    } catch (err) {
      // An address that was made for another key of this node does not serve any more.
      const old = err.name === "InvalidStateError" && await pushManager.getSubscription();
      if (!old) throw err;
      await old.unsubscribe();
      return pushManager.subscribe(options);
    }
  };
  form.querySelector("[data-push-off]").hidden = true;
  look();
  if (navigator.permissions) navigator.permissions.query({ name: "notifications" }).then((p) => { p.onchange = look; }, () => { /* looked at again with the button */ });
  button.addEventListener("click", async () => {
    button.disabled = true;
    say("");
    try {
      const answer = await Notification.requestPermission();
      if (answer === "granted") {
        const subscription = await subscribe();
        form.elements.target.value = subscription.endpoint;
        form.elements.p256dh.value = text(subscription.getKey("p256dh"));
        form.elements.auth.value = text(subscription.getKey("auth"));
        form.submit();
        return;
      }
      if (answer === "denied") look();
      else say(form.dataset.dismissed);
    } catch {
      say(form.dataset.unreachable);
    }
    button.disabled = false;
  });
})();
