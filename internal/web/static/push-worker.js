// Shows a push message and opens its link. It keeps nothing and fetches nothing.
"use strict";
self.addEventListener("push", (event) => {
  let m = {};
  try { m = event.data ? event.data.json() || {} : {}; } catch { /* shown without words */ }
  const tag = typeof m.tag === "string" ? m.tag : "";
  // A message that replaces one with the same tag rings again: it is another person's turn, or a later one.
  event.waitUntil(self.registration.showNotification("SIAGA", {
    body: typeof m.text === "string" ? m.text : "", tag, renotify: tag !== "", requireInteraction: true, data: { link: m.link },
  }));
});
// The page of the message; what is asked of the reader where it names none of this node.
const page = (link) => {
  try {
    const url = new URL(link, self.location.origin);
    if (typeof link === "string" && url.origin === self.location.origin) return url.href;
  } catch { /* no address */ }
  return self.location.origin + "/asks";
};
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow(page(event.notification.data && event.notification.data.link)));
});
