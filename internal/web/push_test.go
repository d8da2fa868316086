package web_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

// Web push in a real browser, all but the push service of its maker, which no
// test can reach: what the person allows is said on the page, the worker is
// registered, shows what is pushed, and a press opens the message's page.
func TestPushInABrowser(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	in := chromedp.FromContext(b.ctx)
	allow := func(setting browser.PermissionSetting) {
		t.Helper()
		_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: setting, Origin: w.url, BrowserContextID: in.BrowserContextID,
		})
		b.ok(err)
	}
	const note, button = `document.querySelector("[data-push-note]")`, "[data-push-do]"
	says := func(words string) {
		t.Helper()
		b.until("the words "+words, `!`+note+`.hidden && `+note+`.innerText.includes(`+quote(words)+`)`, 3*time.Second)
	}

	// Denied: said before anything is pressed, and nothing to press.
	b.open("/messages?lang=en")
	allow(browser.PermissionSettingDenied)
	b.open("/messages?lang=en")
	says("Notifications are blocked for this site.")
	if !eval[bool](b, `document.querySelector("`+button+`").hidden && document.querySelector("[data-push-off]").hidden`) {
		t.Error("there is a button that can do nothing, or a second reason")
	}
	b.shot("push-denied")
	b.open("/messages?lang=id")
	says("Notifikasi diblokir untuk situs ini.")
	b.open("/messages?lang=en")

	// Allowed meanwhile in the settings: the page follows by itself.
	allow(browser.PermissionSettingPrompt)
	b.until("the button", note+`.hidden && !document.querySelector("`+button+`").hidden`, 3*time.Second)
	// Asked and closed without an answer, as a person does; headless browsers have no question to close.
	eval[bool](b, `Notification.requestPermission = async () => "default", true`)
	b.click(button)
	says("choose Allow")
	if eval[bool](b, `document.querySelector("`+button+`").disabled`) {
		t.Error("it cannot be pressed again")
	}

	// Granted: the worker registers. This browser has no push service, which is said.
	allow(browser.PermissionSettingGranted)
	b.open("/messages?lang=en")
	var mu sync.Mutex
	var registered []*serviceworker.Registration
	b.ok(chromedp.Listen(b.ctx, func(ev any) {
		if ev, ok := ev.(*serviceworker.EventWorkerRegistrationUpdated); ok {
			mu.Lock()
			registered = append(registered, ev.Registrations...)
			mu.Unlock()
		}
	}))
	_, err := chromedp.Call(b.ctx, serviceworker.Enable, struct{}{})
	b.ok(err)
	// Its answers are those of a browser that has one: an address, and keys of the right lengths.
	eval[bool](b, `PushManager.prototype.subscribe = async function (o) {
		if (!o.userVisibleOnly || o.applicationServerKey.length !== 65) throw new TypeError("not a key of P-256");
		if (!window.second) { window.second = true; throw new DOMException("no service", "AbortError"); }
		return { endpoint: "https://push.example/send/1", getKey: (k) => new Uint8Array(k === "auth" ? 16 : 65).fill(4).buffer };
	}, true`)
	b.click(button)
	says("no address for messages from its push service")
	b.shot("push-unreachable")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("#label"), "Ayu's phone")))
	b.click(button)
	b.at("/messages?sent=messages")
	b.until("the browser in the list", `[...document.querySelectorAll("[data-region=channels] tr")].some((r) => r.innerText.includes("Ayu's phone"))`, 3*time.Second)

	// A message comes: its words and no others are shown, once for an ask, again with a sound if it comes again.
	mu.Lock()
	at := slices.IndexFunc(registered, func(r *serviceworker.Registration) bool { return r.ScopeURL == w.url+"/" })
	if at < 0 {
		t.Fatalf("registered: %+v", registered)
	}
	id := registered[at].RegistrationID
	mu.Unlock()
	push := func(data string) {
		t.Helper()
		_, err := chromedp.Call(b.ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: w.url, RegistrationID: id, Data: data})
		b.ok(err)
	}
	eval[bool](b, `navigator.serviceWorker.ready.then(async (r) => {
		window.shown = async () => { window.list = (await r.getNotifications()).map((n) => [n.title, n.body, n.tag, n.renotify, n.data.link ?? ""].join("|")).sort(); };
		await shown(); setInterval(shown, 30); return true; })`, chromedp.EvalAwaitPromise)
	const text = "SIAGA IDN-2026-0007: your vote is needed by 14:41 UTC (21:41)."
	vote := `{"text":"` + text + `","link":"` + w.url + `/asks?lang=id","tag":"IDN-2026-0007 vote"}`
	push(vote)
	push(vote)
	push(`{"text":"active","link":"https://elsewhere.example/a/1","tag":"IDN-2026-0007 active"}`)
	push(`no JSON at all`)
	want := []string{
		"SIAGA|" + text + "|IDN-2026-0007 vote|true|" + w.url + "/asks?lang=id",
		"SIAGA|active|IDN-2026-0007 active|true|https://elsewhere.example/a/1",
		"SIAGA|||false|",
	}
	b.until("three notifications", `window.list.length === 3`, 3*time.Second)
	got := eval[[]string](b, `window.list`)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("shown %q, want %q", got, want)
	}

	// Pressed: the worker's own handler names the page, and the notification goes.
	// Only a person's press may open windows, so that is looked at, not done.
	targets, err := chromedp.Targets(b.ctx)
	b.ok(err)
	var worker *tab
	for _, x := range targets {
		if x.Type == "service_worker" && x.URL == w.url+"/push-worker.js" {
			ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(x.TargetID))
			defer cancel()
			worker = &tab{t, ctx, w, w.url}
		}
	}
	if worker == nil {
		t.Fatal("no worker runs")
	}
	opened := eval[map[string]string](worker, `(async () => {
		const opened = {};
		for (const n of await registration.getNotifications()) {
			clients.openWindow = async (url) => { opened[n.tag] = url; };
			const e = new NotificationEvent("notificationclick", { notification: n });
			e.waitUntil = () => {}; // which an event of a script may not
			self.dispatchEvent(e);
		}
		return opened;
	})()`, chromedp.EvalAwaitPromise)
	for tag, page := range map[string]string{"IDN-2026-0007 vote": "/asks?lang=id", "IDN-2026-0007 active": "/asks", "": "/asks"} {
		if opened[tag] != w.url+page {
			t.Errorf("a press on %q opens %q, want %s", tag, opened[tag], page)
		}
	}
	b.until("no notification", `window.list.length === 0`, 3*time.Second)
	b.open(strings.TrimPrefix(opened["IDN-2026-0007 vote"], w.url))
	if h := eval[string](b, `document.documentElement.lang + " " + document.querySelector("h1").innerText`); !strings.HasPrefix(h, "id ") {
		t.Errorf("the page that is opened: %q", h)
	}
}
