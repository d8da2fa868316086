// Shows a push message and opens its link. It keeps nothing and fetches nothing.
"use strict";
self.addEventListener("push", (event) => {
  let m = {};
  try { m = event.data ? event.data.json() : {}; } catch { /* shown without words */ }
  const text = typeof m.text === "string" ? m.text : "SIAGA";
  event.waitUntil(self.registration.showNotification("SIAGA", {
    body: text, tag: typeof m.tag === "string" ? m.tag : undefined, requireInteraction: true, data: { link: m.link },
  }));
});
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const link = event.notification.data && event.notification.data.link;
  if (typeof link !== "string" || new URL(link, self.location.origin).origin !== self.location.origin) return;
  event.waitUntil(self.clients.openWindow(link));
});
