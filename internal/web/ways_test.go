package web_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

func (b *tab) media(media string, features ...string) {
	b.t.Helper()
	p := emulation.SetEmulatedMediaParams{Media: media}
	for i := 0; i+1 < len(features); i += 2 {
		p.Features = append(p.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, p)
	b.ok(err)
}

// keys types at whatever has the focus, as a keyboard does.
func (b *tab) keys(keys string) {
	b.t.Helper()
	b.ok(chromedp.Do(b.ctx, chromedp.KeyEvent(keys)))
}

// On paper there is nothing to press, the situation report is one sheet with its
// label at top and bottom, and who reads it knows when it was made.
func TestPagesOnPaper(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	const sheet = "/Type /Page\n"
	sheets := func(pdf []byte) int {
		return bytes.Count(bytes.ReplaceAll(pdf, []byte("\r"), nil), []byte(sheet))
	}
	for path, most := range map[string]int{"/incidents/" + w.incident + "/brief": 1, "/incidents/" + w.incident: 4, "/": 2} {
		b.open(path + "?lang=en")
		pdf := b.printed()
		if n := sheets(pdf); n < 1 || n > most {
			t.Errorf("%s prints on %d sheets, want 1 to %d", path, n, most)
		}
		b.wide(717) // A4 without margins
		b.media("print")
		seen := eval[[]string](b, `[...document.querySelectorAll(".bar, .dock, .btn, nav, form button, .skip, .pause")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().height > 1).map((e) => e.tagName + "." + e.className)`)
		if len(seen) > 0 {
			t.Errorf("%s on paper shows %s", path, strings.Join(seen, ", "))
		}
		if dark := eval[string](b, `getComputedStyle(document.body).backgroundColor + " " + getComputedStyle(document.body).color`); dark != "rgb(255, 255, 255) rgb(0, 0, 0)" && dark != "rgba(0, 0, 0, 0) rgb(0, 0, 0)" {
			t.Errorf("%s on paper is %s", path, dark)
		}
		text := eval[string](b, `document.body.innerText`)
		if made := eval[string](b, `document.body.innerText.match(/(Page made|Made) \d+ \S+ \d{4}, \d\d:\d\d/)?.[0] || ""`); made == "" {
			t.Errorf("%s on paper does not say when it was made", path)
		}
		if strings.HasSuffix(path, "/brief") {
			if n := strings.Count(text, "TLP:AMBER"); n != 2 {
				t.Errorf("the situation report has its label %d times, want at top and bottom", n)
			}
			for _, want := range []string{"next update", "journal position", fmt.Sprint(time.Now().UTC().Year()) + ", "} {
				if !strings.Contains(text, want) {
					t.Errorf("the situation report does not say %q", want)
				}
			}
		}
		b.media("")
		b.wide(1280)
	}
}

// Where the system chooses the colours, borders and words carry what colours
// did; where it asks for rest, nothing moves.
func TestPagesWithTheSystemsColours(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	b.media("", "forced-colors", "active", "prefers-reduced-motion", "reduce")
	for _, path := range []string{"/", "/incidents/" + w.incident, "/signals/" + w.signal, "/incidents/new", "/edges"} {
		b.open(path + "?lang=en")
		if bare := eval[[]string](b, `[...document.querySelectorAll("main .btn, main .chip, main .panel, main .choice, main .tlp, main .banner")].filter((e) => e.checkVisibility() && parseFloat(getComputedStyle(e).borderTopWidth) < 1).map((e) => e.className + " " + e.innerText.slice(0, 20))`); len(bare) > 0 {
			t.Errorf("%s: without colours these have no border: %s", path, strings.Join(bare, "; "))
		}
		if mute := eval[[]string](b, `[...document.querySelectorAll(".chip")].filter((e) => !e.innerText.trim()).map((e) => e.outerHTML.slice(0, 80))`); len(mute) > 0 {
			t.Errorf("%s: states without a word: %s", path, strings.Join(mute, "; "))
		}
		if moves := eval[[]string](b, `[...document.querySelectorAll("*")].filter((e) => { const s = getComputedStyle(e); return parseFloat(s.transitionDuration) > 0 || s.animationName !== "none"; }).map((e) => e.className)`); len(moves) > 0 {
			t.Errorf("%s moves: %s", path, strings.Join(moves, "; "))
		}
	}
}

// Everything is reached with Tab, seen while it has the focus, and not behind a
// bar; single letters act only for who chose them, and never while typing.
func TestPagesByKeyboard(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	room := "/incidents/" + w.incident
	for _, width := range []int64{1280, 390} {
		b.wide(width)
		for _, path := range []string{room, "/incidents/new"} {
			b.open(path + "?lang=en")
			want := eval[int](b, `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.disabled && e.tabIndex >= 0).length`)
			seen := map[string]bool{}
			hidden := 0
			for i := range want {
				b.keys("\t")
				got := eval[[]string](b, `(() => {
					const e = document.activeElement, r = e.getBoundingClientRect();
					if (e === document.body) return ["", ""];
					const id = [...document.querySelectorAll("*")].indexOf(e) + "";
					const at = (x, y) => { const o = document.elementFromPoint(x, y); return o && (o === e || e.contains(o) || o.contains(e) || o.closest("label")?.contains(e)); };
					const ok = at(r.x + r.width / 2, r.y + r.height / 2) || at(r.x + 4, r.y + 4) || at(r.right - 4, r.bottom - 4);
					const s = getComputedStyle(e), f = s.outlineStyle !== "none" || s.boxShadow !== "none";
					return [id, ok && f ? "" : e.tagName + " " + (e.innerText || e.name || "").slice(0, 30) + (ok ? " shows no focus" : " is covered")];
				})()`)
				if got[0] == "" {
					continue
				}
				seen[got[0]] = true
				if got[1] != "" && hidden < 3 {
					hidden++
					t.Errorf("%s at %d px, after %d tabs: %s", path, width, i+1, got[1])
				}
			}
			if len(seen) < want*3/4 { // one of a group of choices is enough
				t.Errorf("%s at %d px: %d of %d things are reached with Tab", path, width, len(seen), want)
			}
		}
	}
	b.wide(1280)
	at := func(keys, where string) {
		t.Helper()
		b.keys(keys)
		b.until("after "+keys+" the page "+where, fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, where), 5*time.Second)
	}
	b.open(room + "?lang=en")
	b.keys("n")
	b.keys("gb")
	time.Sleep(200 * time.Millisecond)
	if got := eval[string](b, `location.pathname`); got != room {
		t.Fatalf("letters that nobody chose led to %s", got)
	}
	b.cookie("siaga_keys", "on")
	b.open(room + "?lang=en")
	at("gs", "/signals")
	at("ge", "/edges")
	at("gi", "/incidents")
	b.keys("j")
	b.until("the first row", `document.activeElement.matches("main .rows > li a[href], main tbody th a[href]")`, time.Second)
	first := eval[string](b, `document.activeElement.href`)
	b.keys("j")
	b.keys("k")
	if got := eval[string](b, `document.activeElement.href`); got != first {
		t.Errorf("j and k lead from %s to %s", first, got)
	}
	b.keys("o")
	b.until("the row's page", fmt.Sprintf(`location.href === %q && document.readyState === "complete"`, first), 5*time.Second)
	at("gb", "/")
	at("n", "/incidents/new")
	eval[bool](b, `document.querySelector("#what").focus(), true`)
	b.keys("gbn?")
	if got := eval[string](b, `document.querySelector("#what").value + location.pathname`); got != "gbn?/incidents/new" {
		t.Errorf("while typing, letters act: %q", got)
	}
	b.open(room + "?lang=en")
	at("?", "/help/keys")
	b.open(room + "?lang=en")
	b.keys("/")
	b.until("the search", `document.activeElement.type === "search"`, time.Second)
	eval[bool](b, `document.querySelector("#more summary").click(), true`)
	b.until("the menu", `document.querySelector("#more").open`, time.Second)
	b.keys("\u001b")
	b.until("Esc closes what is open", `!document.querySelector("#more").open && document.activeElement === document.querySelector("#more summary")`, time.Second)
	at("u", room+"/updates/new")
}
