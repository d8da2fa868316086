package web_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/web"
)

// These tests drive Chromium and run where SIAGA_TEST_BROWSER is set, as
// `make test` does; there a missing browser or a missing axe-core fails.
func needBrowser(t *testing.T) {
	t.Helper()
	if os.Getenv("SIAGA_TEST_BROWSER") == "" {
		t.Skip("pages in a browser: set SIAGA_TEST_BROWSER=1, or run make test")
	}
}

// tab is a page in a browser of its own, signed in as who.
type tab struct {
	t    *testing.T
	ctx  context.Context
	w    *world
	base string // address of the node as the tab has it
}

func (w *world) tab(t *testing.T, who string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium(t), chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t, ctx, w, w.url}
	b.cookie("siaga_session", w.key[who])
	b.wide(1280)
	return b
}

// chromium is one browser for all tests: each tab has cookies and storage of
// its own. TestMain closes it.
var (
	chromiumOnce  sync.Once
	chromiumCtx   context.Context
	chromiumClose = func() {}
	chromiumErr   error
)

func chromium(t *testing.T) context.Context {
	t.Helper()
	chromiumOnce.Do(func() {
		// The tests run as root in a container, where Chromium's own sandbox cannot start.
		chromiumCtx, chromiumClose = chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(chromedp.NoSandbox))
		chromiumErr = chromedp.Do(chromiumCtx, chromedp.Navigate("about:blank"))
	})
	if chromiumErr != nil {
		t.Fatal(chromiumErr)
	}
	return chromiumCtx
}

func TestMain(m *testing.M) {
	code := m.Run()
	chromiumClose()
	os.Exit(code)
}

func (b *tab) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) cookie(name, value string) {
	b.t.Helper()
	if value == "" {
		return
	}
	_, err := chromedp.Call(b.ctx, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: b.w.url})
	b.ok(err)
}

func (b *tab) wide(px int64) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: px, Height: 844, DeviceScaleFactor: 1, Mobile: px < 700})
	b.ok(err)
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.ok(chromedp.Do(b.ctx, chromedp.Navigate(b.base+path)))
}

// printed is the page on A4, as the browser's own dialog prints it.
func (b *tab) printed() []byte {
	b.t.Helper()
	margin := 0.4
	got, err := chromedp.Call(b.ctx, cdppage.PrintToPDF, cdppage.PrintToPDFParams{PaperWidth: 8.27, PaperHeight: 11.69, MarginTop: &margin, MarginBottom: &margin, MarginLeft: &margin, MarginRight: &margin})
	b.ok(err)
	return got.Data
}

func eval[T any](b *tab, js string, opts ...chromedp.EvaluateOption) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js, opts...))
	b.ok(err)
	return v
}

// until waits for js to be true and says how long it took.
func (b *tab) until(what, js string, limit time.Duration) time.Duration {
	b.t.Helper()
	start := time.Now()
	for !eval[bool](b, js) {
		if time.Since(start) > limit {
			b.t.Fatalf("%s did not come within %v; status line: %q", what, limit, eval[string](b, `document.querySelector("#live")?.innerText || ""`))
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-b.t.Context().Done():
			b.t.Fatal(b.t.Context().Err())
		}
	}
	return time.Since(start)
}

func axe(t *testing.T) string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", ".cache", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("axe-core is missing: %v; run: npm install --no-save --prefix .cache axe-core", err)
	}
	return string(src)
}

// Every page of the table, light and dark, wide and narrow, in English,
// Indonesian and Arabic, which runs from right to left: no serious finding of
// axe-core, nothing wider than the window. Each rule runs wherever what it looks
// at can differ: colours by theme, sizes by width, all else by language.
func TestPagesAreAccessible(t *testing.T) {
	needBrowser(t)
	source := axe(t)
	w := newWorld(t)
	check := func(b *tab, lang, path string, width int64, theme, rules string) {
		for _, f := range eval[[]string](b, fmt.Sprintf(run, theme, rules), chromedp.EvalAwaitPromise) {
			t.Errorf("%s %s, %s, %d px: %s", lang, path, theme, width, f)
		}
	}
	pages, visited := 0, map[string]bool{}
	visit := func(b *tab, lang, path string, then func(*tab)) {
		pages++
		visited[path] = true
		b.open(path)
		if then != nil {
			then(b)
		}
		eval[bool](b, source+"; true")
		for _, width := range []int64{1280, 390, 320} {
			b.wide(width)
			if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf(lang+" %s at %d px is %d px too wide: %s", path, width, over, eval[string](b, widest))
			}
			switch {
			case width == 320:
			case lang == "en" && width == 1280:
				check(b, lang, path, width, "light", everything)
				check(b, lang, path, width, "dark", colours)
			case lang == "en":
				check(b, lang, path, width, "light", sizes)
				check(b, lang, path, width, "dark", coloursAndSizes)
			case width == 1280:
				check(b, lang, path, width, "dark", words)
			default:
				check(b, lang, path, width, "light", sizes)
			}
		}
	}
	paths, rare := w.paths(web.Patterns()), w.rare(t)
	for _, lang := range []string{"en", "id", "ar"} {
		b, nobody := w.tab(t, "officer"), w.tab(t, "nobody")
		b.cookie("siaga_lang", lang)
		nobody.cookie("siaga_lang", lang)
		for _, path := range paths {
			if strings.HasPrefix(path, "/public") { // knows no cookie
				path += "?lang=" + lang
			}
			visit(b, lang, path, nil)
		}
		for _, path := range []string{"/public?lang=" + lang, "/sign-in", "/journal/verify", "/help"} {
			visit(nobody, lang, path, nil)
		}
		tabs := map[string]*tab{}
		for _, v := range rare {
			if v.once && lang != "en" {
				continue
			}
			if tabs[v.who] == nil {
				tabs[v.who] = w.tab(t, v.who)
				tabs[v.who].cookie("siaga_lang", lang)
			}
			tabs[v.who].base = cmp.Or(v.base, w.url)
			visit(tabs[v.who], lang, v.path, v.then)
		}
	}
	allVisited(t, web.Patterns(), visited)
	t.Logf("%d pages", pages)
}

const (
	everything      = `{}`
	colours         = `{runOnly: ["color-contrast"]}`
	sizes           = `{runOnly: ["target-size", "scrollable-region-focusable"]}`
	coloursAndSizes = `{runOnly: ["color-contrast", "target-size", "scrollable-region-focusable"]}`
	words           = `{rules: {"color-contrast": {enabled: false}}}`
)

const run = `document.documentElement.dataset.theme = %q;
axe.run({resultTypes: ["violations"], preload: false, ...%s}).then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical")
  .map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " " + n.failureSummary).join(" | ")))`

const widest = `[...document.querySelectorAll("main *, header *, footer *")].filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest(".table-scroll"))
  .slice(0, 3).map((e) => e.tagName + "." + e.className + " " + e.textContent.slice(0, 40)).join(" | ")`

// What another session does shows by itself in less than a second, a region in
// use is left alone, and Pause stops all of it.
func TestPagesAreLive(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	room, board := w.tab(t, "officer"), w.tab(t, "officer")
	live := `document.querySelector("#live").className === "live " && /^Live/.test(document.querySelector("#live").innerText)`
	room.open("/incidents/" + w.incident + "?lang=en")
	board.open("/?lang=en")
	room.until("the stream", live, 10*time.Second)
	board.until("the stream", live, 10*time.Second)

	// The first change: the platform acknowledges.
	ask := `document.querySelector('[data-region=acks]').innerText.includes("Secretariat")`
	if !eval[bool](room, ask) {
		t.Fatal("the room does not say that the secretariat is missing")
	}
	start := time.Now()
	if p := w.post("platform", "/signals/"+w.signal+"/suspend", url.Values{"_key": {"live 1"}, "cause": {"benign"}, "reach": {"everywhere"}}); p.status != 200 {
		t.Fatalf("suspending answered %d: %s", p.status, text(p.all("main", "")[0]))
	}
	posted := time.Now()
	room.until("the suspension in the room", `document.querySelector('[data-region=timeline]').innerText.includes("suspended")`, 5*time.Second)
	if took := time.Since(posted); took > time.Second {
		t.Errorf("the room showed it after %v, want under a second", took)
	}
	board.until("the suspension on the board", fmt.Sprintf(`document.querySelector('[data-region=changes]').innerText.includes(%q)`, "suspended "+w.signal), 5*time.Second)
	t.Logf("posted after %v, on the room %v after that at the latest", posted.Sub(start), time.Since(posted))

	// A region in which someone types or has the focus stays, and offers the change.
	eval[bool](room, `document.querySelector('[data-region=timeline] a').focus(), true`)
	before := eval[string](room, `document.querySelector('[data-region=timeline] .rows').innerText`)
	_, err := w.node.Incidents.PostUpdate(t.Context(), w.actor["officer"], w.incident, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": "Second", "id": "Kedua"}})
	room.ok(err)
	if !eval[bool](room, `document.querySelector("[data-region=timeline]").contains(document.activeElement)`) {
		t.Fatal("no focus in the timeline")
	}
	room.until("the offer", `!!document.querySelector('[data-region=timeline] .pending')`, 5*time.Second)
	if after := eval[string](room, `document.querySelector('[data-region=timeline] .rows').innerText`); after != before {
		t.Error("a region with the focus was replaced")
	}
	room.until("the update beside it", `document.querySelector('[data-region=update]').innerText.includes("Second")`, 5*time.Second)
	eval[bool](room, `document.querySelector('[data-region=timeline] .pending').click(), true`)
	room.until("the offered change", `!document.querySelector('[data-region=timeline] .pending') && document.querySelector('[data-region=timeline] .rows').innerText !== `+fmt.Sprintf("%q", before), 5*time.Second)

	// Pause stops it; going on catches up.
	eval[bool](room, `document.querySelector("#pause").click(), true`)
	_, err = w.node.Incidents.PostUpdate(t.Context(), w.actor["officer"], w.incident, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": "Third", "id": "Ketiga"}})
	room.ok(err)
	board.until("the third update on the board", `document.querySelector('[data-region=changes]').innerText.includes("update 3")`, 5*time.Second)
	if eval[bool](room, `document.querySelector('[data-region=update]').innerText.includes("Third")`) {
		t.Error("a paused page moved")
	}
	room.until("the word Paused", `/^Paused/.test(document.querySelector("#live").innerText)`, 3*time.Second)
	eval[bool](room, `document.querySelector("#pause").click(), true`)
	room.until("what came meanwhile", `document.querySelector('[data-region=update]').innerText.includes("Third")`, 3*time.Second)
}

// Typed text outlives a reload and is let go once it was sent.
func TestTypedTextIsKept(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	b.open("/incidents/new?lang=en")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("#what"), "A stream of an attack")))
	b.open("/?lang=en")
	b.open("/incidents/new?lang=en")
	if got := eval[string](b, `document.querySelector("#what").value`); got != "A stream of an attack" {
		t.Fatalf("the text came back as %q", got)
	}
	b.ok(chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS("input[value=exercise]"))))
	_, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS("button.primary")))
	b.ok(err)
	b.until("the receipt", `location.search.includes("sent=notified")`, 5*time.Second)
	b.open("/incidents/new?lang=en")
	if got := eval[string](b, `document.querySelector("#what").value`); got != "" {
		t.Fatalf("after sending, the form still has %q", got)
	}
}

// Label and readers come back with the text, so that what was meant for few
// never goes to more; who reads it is shown before it goes. A text of the node
// that is not the one typed over stays.
func TestKeptReadersAreShownFirst(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	last := func() incident.Incident {
		list, _, err := w.node.Incidents.List(t.Context(), w.actor["officer"], incident.Query{Limit: 1})
		w.ok(err)
		return list[0]
	}
	before := last().ID
	press := func(sel, then string) {
		t.Helper()
		eval[bool](b, fmt.Sprintf(`document.documentElement.dataset.old = 1, setTimeout(() => document.querySelector(%q).click(), 0), true`, sel))
		b.until("the answer to "+sel, `document.documentElement?.dataset.old === undefined && document.readyState === "complete" && !!(`+then+`)`, 10*time.Second)
	}
	const form = `["#what", "#country", "#tlp"].map((s) => document.querySelector(s).value).concat([...document.querySelectorAll("[name=reader]:checked")].map((i) => i.value), document.querySelector("#readers").open).join("|")`
	const want = "Only for few|SG|red|warga|true"
	b.open("/incidents/new?lang=en")
	eval[bool](b, `document.querySelector("input[value=exercise]").click(), document.querySelector("[name=reader][value=warga]").click(),
		Object.entries({what: "Only for few", country: "SG", tlp: "red"}).forEach(([id, v]) => { const i = document.getElementById(id); i.value = v; i.dispatchEvent(new Event("input", {bubbles: true})); }), true`)
	press("button[value=show]", `document.querySelector(".told .tlp").innerText === "TLP:RED"`)
	b.open("/?lang=en")
	b.open("/incidents/new?lang=en")
	if got := eval[string](b, form); got != want {
		t.Fatalf("the form came back as %q, want %q", got, want)
	}
	press("form.form button.primary", `document.querySelector(".told .tlp").innerText === "TLP:RED"`)
	if got := eval[string](b, form); got != want || last().ID != before {
		t.Fatalf("after one press the form has %q, the newest incident is %s", got, last().ID)
	}
	press("form.form button.primary", `location.search.includes("sent=notified")`)
	if a := last().Audience; last().ID == before || a.TLP != "red" || len(a.Partners) != 1 || a.Partners[0] != "warga" {
		t.Errorf("it went to %+v", a)
	}
	b.open("/incidents/new?lang=en")
	eval[bool](b, `sessionStorage.setItem("siaga:notify", JSON.stringify({country: "SG", "=country": "another"})), true`)
	b.open("/incidents/new?lang=en")
	if got := eval[bool](b, `(({value, defaultValue}) => value !== "" && value === defaultValue)(document.querySelector("#country"))`); !got {
		t.Error("what was typed over another text replaced that of the node")
	}
}

// From notice to receipt without scripts.
func TestPagesWorkWithoutScripts(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.ok(err)
	b.open("/?lang=en")
	main, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
	b.ok(err)
	for _, want := range []string{"Asked of you", w.incident, "Refresh", "Page made"} {
		if !strings.Contains(main, want) {
			t.Errorf("the board without scripts does not say %q", want)
		}
	}
	b.open("/incidents/new?lang=en")
	_, err = chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS("button.primary")))
	b.ok(err)
	b.until("the focus on the mistakes", `document.activeElement.className === "summary errors"`, 5*time.Second)
	b.open("/incidents/new?lang=en")
	b.ok(chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS("input[value=exercise]")), chromedp.SendKeys(chromedp.CSS("#what"), "A stream")))
	_, err = chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS("button.primary")))
	b.ok(err)
	where, err := chromedp.Run(b.ctx, chromedp.Location())
	b.ok(err)
	if !strings.Contains(where, "sent=notified") {
		t.Fatalf("notifying came to %s", where)
	}
}

// The first page with all that it needs fits in 100 kB, compressed.
func TestFirstPageIsSmall(t *testing.T) {
	w := newWorld(t)
	total := 0
	for _, path := range []string{"/public", "/"} {
		p := w.get("officer", path)
		size := zipped(t, p.body)
		files := 0
		for _, n := range append(p.all("link", "href"), p.all("script", "src")...) {
			src := attr(n, "href") + attr(n, "src")
			if f := w.get("officer", src); f.status == 200 {
				size += zipped(t, f.body)
				files++
			}
		}
		if files < 3 {
			t.Fatalf("%s: %d files beside the page: stylesheet, script and icon are expected", path, files)
		}
		t.Logf("%s: %d bytes compressed", path, size)
		total = max(total, size)
	}
	if total > 100_000 {
		t.Fatalf("%d bytes, want at most 100,000", total)
	}
}

func zipped(t *testing.T, s string) int {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

// From a fresh browser on a phone to a notified incident: at most eight taps
// and fields from the signed-in form, and less than a minute.
func TestNotifyOnAPhone(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "platform")
	b.wide(390)
	start := time.Now()
	b.open("/incidents/new?lang=id")
	click := func(sel string) {
		b.t.Helper()
		eval[bool](b, fmt.Sprintf(`document.querySelector(%q).click(), true`, sel))
	}
	write := func(sel, text string) {
		b.t.Helper()
		b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(sel), text)))
	}
	click("input[name=real][value=real]")
	write("#what", "Seorang pria menyiarkan serangan di pasar")
	write("#place", "Kota Seroja")
	write("#urls", "https://lensa.example/live/10")
	click("input[name=live][value=yes]")
	click("input[name=more][value=unknown]")
	taps := 6
	send := func() {
		t.Helper()
		eval[bool](b, `setTimeout(() => document.querySelector("form.form button.primary").click(), 0), document.documentElement.dataset.old = 1, true`)
		b.until("the answer", `document.documentElement?.dataset.old === undefined && document.readyState === "complete"`, 20*time.Second)
	}
	send()
	taps++
	if eval[bool](b, `!!document.querySelector("#h-same")`) { // the same country within six hours: is it this one?
		if !strings.Contains(eval[string](b, `document.querySelector(".banner.warn").innerText`), w.incident) {
			t.Error("the likely duplicate is not named")
		}
		send()
		taps++
	}
	b.until("the receipt", `location.search.includes("sent=notified")`, 10*time.Second)
	took := time.Since(start)
	t.Logf("%d taps and fields, %v", taps, took)
	if taps > 8 || took > time.Minute {
		t.Errorf("%d taps and fields in %v, want 8 in a minute", taps, took)
	}
}
