package web_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/siaga-crp/siaga/internal/incident"
)

// line is a connection to the node that can be cut, or lose answers.
type line struct {
	mu     sync.Mutex
	node   string
	cut    bool
	mute   bool // what is sent arrives, no answer comes back
	lost   int  // answers lost
	wrong  int  // answers that refuse what was sent (422)
	conns  map[net.Conn]bool
	accept net.Listener
}

// through gives the tab an address of the world that goes over a line.
func (b *tab) through() *line {
	b.t.Helper()
	u, err := url.Parse(b.w.url)
	b.ok(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	l := &line{node: "127.0.0.1:" + u.Port(), conns: map[net.Conn]bool{}, accept: ln}
	b.base = strings.Replace("http://"+ln.Addr().String(), "127.0.0.1", "localhost", 1)
	go l.serve()
	b.t.Cleanup(func() { _ = ln.Close(); l.set(true, false) })
	return l
}

func (l *line) serve() {
	for {
		c, err := l.accept.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		cut := l.cut
		l.mu.Unlock()
		if cut {
			_ = c.Close()
			continue
		}
		go l.carry(c)
	}
}

func (l *line) carry(c net.Conn) {
	n, err := net.Dial("tcp", l.node)
	if err != nil {
		_ = c.Close()
		return
	}
	l.mu.Lock()
	l.conns[c], l.conns[n] = true, true
	l.mu.Unlock()
	end := func() { _, _ = c.Close(), n.Close() }
	go func() { defer end(); _, _ = io.Copy(n, c) }()
	defer end()
	buf := make([]byte, 32<<10)
	for {
		k, err := n.Read(buf)
		l.mu.Lock()
		mute := l.mute
		if bytes.HasPrefix(buf[:k], []byte("HTTP/1.1 422")) {
			l.wrong++
		}
		if mute && bytes.HasPrefix(buf[:k], []byte("HTTP/1.1 303")) {
			l.lost++
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if k > 0 {
			if _, err := c.Write(buf[:k]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *line) set(cut, mute bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.mute = cut, mute
	if cut {
		for c := range l.conns {
			_ = c.Close()
		}
		clear(l.conns)
	}
}

// A cut stream is said in words after fifteen seconds: since when, how old,
// when it tries again; each region is marked old. What changed meanwhile is
// there when it comes back, by itself.
func TestPageSaysThatItsStreamIsCut(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	l := b.through()
	b.open("/incidents/" + w.incident + "?lang=en")
	status := `document.querySelector("#live").innerText`
	b.until("the stream", `/^Live, \d+ s old/.test(`+status+`)`, 10*time.Second)
	l.set(true, false)
	b.until("the loss", `document.querySelector("#live") && performance.getEntriesByType("resource").some((r) => r.name.includes("/live"))`, 5*time.Second)
	time.Sleep(1500 * time.Millisecond) // the browser sees the closed connection and tries once in vain
	if got := eval[string](b, status); !strings.HasPrefix(got, "Live") {
		t.Errorf("after a second without a stream the page says %q: it cries too early", got)
	}
	eval[bool](b, `{ const now = Date.now; Date.now = () => now() + 20000; } true`) // twenty seconds pass
	b.until("the word that it is not connected", `/^Not connected since \d\d:\d\d:\d\d UTC\. What you see is (2\d|3\d) s old\. Trying again in \d+ s\./.test(`+status+`)`, 3*time.Second)
	if n := eval[int](b, `[...document.querySelectorAll("[data-region]")].filter((r) => !r.classList.contains("old")).length`); n > 0 {
		t.Errorf("%d regions are not marked old", n)
	}
	if got := eval[string](b, `document.title`); !strings.HasPrefix(got, "OLD ") {
		t.Errorf("the title is %q", got)
	}
	if !eval[bool](b, `[...document.querySelectorAll("main h2 .old-word")].length > 3`) {
		t.Error("regions do not say the word old")
	}
	if eval[bool](b, `[...document.querySelectorAll("button")].find((x) => x.innerText === "Now").hidden`) {
		t.Error("there is no button to try again now")
	}
	_, err := w.node.Incidents.PostUpdate(t.Context(), w.actor["officer"], w.incident, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": "While it was cut"}})
	w.ok(err)
	l.set(false, false)
	b.until("the stream by itself", `/^Live/.test(`+status+`) && !document.querySelector(".old") && !document.querySelector(".old-word") && !document.title.startsWith("OLD")`, 10*time.Second)
	b.until("what changed meanwhile", `document.querySelector('[data-region=update]').innerText.includes("While it was cut")`, 3*time.Second)
}

// While someone types an update, others act: the text stays whole, and the page
// says how much changed.
func TestTypingIsLeftAlone(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	b.open("/incidents/" + w.incident + "/updates/new?lang=en")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("textarea[lang=en]"), "We know that ")))
	for i := range 3 {
		_, err := w.node.Incidents.Ask(t.Context(), w.actor["platform"], w.incident, []string{"nusa"}, fmt.Sprint("Is it ", i, "?"))
		w.ok(err)
		b.until("the change", fmt.Sprintf(`/^Changes: %d /.test(document.querySelector("#news").innerText)`, i+1), 5*time.Second)
	}
	if got := eval[string](b, `document.querySelector("#news").innerText + "|" + document.activeElement.value`); got != "Changes: 3 – show|We know that " {
		t.Errorf("the page has %q", got)
	}
}

// On a bad line a form is sent once: without an answer it stays with its text,
// and sending it again acts once, also where only the answer was lost.
func TestSentOnceOnABadLine(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "platform")
	l := b.through()
	notices := func() (n int) {
		list, _, err := w.node.Incidents.List(t.Context(), w.actor["platform"], incident.Query{Text: "once only"})
		w.ok(err)
		return len(list)
	}
	b.open("/incidents/new?lang=en")
	eval[bool](b, `document.querySelector("input[name=real][value=exercise]").click(), document.querySelector("#what").value = "Once only, from a ferry", document.querySelector("#what").dispatchEvent(new Event("input", {bubbles: true})), true`)
	send := `document.querySelector("form.form button.primary").click(), true`
	said := `(document.querySelector(".unsent") || {}).innerText || ""`

	l.set(true, false)
	eval[bool](b, send)
	b.until("the word that no answer came", `(`+said+`).includes("Your text is kept")`, 5*time.Second)
	if got := eval[string](b, `document.querySelector("#what").value + "|" + document.querySelector("form.form button.primary").innerText`); got != "Once only, from a ferry|Try again" {
		t.Errorf("after a cut the form has %q", got)
	}
	if n := notices(); n != 0 {
		t.Fatalf("%d incidents before anything arrived", n)
	}
	l.set(false, true)
	eval[bool](b, send)
	deadline := time.Now().Add(10 * time.Second)
	for notices() == 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	b.until("the word that no answer came", `document.querySelector("form.form button.primary").innerText === "Try again"`, 5*time.Second)
	l.mu.Lock()
	lost := l.lost
	l.mu.Unlock()
	if n := notices(); n != 1 || lost == 0 {
		t.Fatalf("%d incidents, %d answers lost: want one, and a lost one", n, lost)
	}
	l.set(false, false)
	eval[bool](b, `setTimeout(() => { `+send+` }, 0), true`)
	b.until("the receipt", `location.search.includes("sent=notified")`, 10*time.Second)
	if n := notices(); n != 1 {
		t.Errorf("%d incidents, want one", n)
	}
	b.open("/incidents/new?lang=en")
	if got := eval[string](b, `document.querySelector("#what").value`); got != "" {
		t.Errorf("after sending, the form still has %q", got)
	}
	// Pressed twice in a hurry, an acknowledgement is one; the page leads on.
	b.open("/incidents/" + w.exercise + "?lang=en")
	eval[bool](b, `{ const x = document.querySelector("#asks form button"); x.click(); x.click(); } true`)
	b.until("the acknowledgement", `location.search.includes("sent=acknowledged")`, 10*time.Second)
}

// One press is one post: a refusal is the answer to what was sent, also where
// the form was changed while it was sent, and the focus is on what is wrong.
func TestRefusedOnce(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	b := w.tab(t, "platform")
	l := b.through()
	notices := func() int {
		list, _, err := w.node.Incidents.List(t.Context(), w.actor["platform"], incident.Query{Text: "corrected too late"})
		w.ok(err)
		return len(list)
	}
	b.open("/incidents/new?lang=en")
	eval[bool](b, `document.querySelector("input[name=real][value=exercise]").click(), document.querySelector("form.form button.primary").click(), document.querySelector("#what").value = "Corrected too late", true`)
	b.until("the refusal", `document.readyState === "complete" && !!document.querySelector(".summary.errors")`, 10*time.Second)
	if got := eval[string](b, `[document.activeElement.className, location.pathname, document.title.replace(/^\(\d+\) /, ""), document.querySelector("#what").value, document.querySelector("form.form button.primary").getAttribute("aria-disabled")].join("|")`); got != "summary errors|/incidents/new|Error: Notify an incident – Siaga||" {
		t.Errorf("the refusal is %q", got)
	}
	time.Sleep(200 * time.Millisecond) // a second post would be under way
	l.mu.Lock()
	wrong := l.wrong
	l.mu.Unlock()
	if n := notices(); n != 0 || wrong != 1 {
		t.Errorf("one press made %d incidents and %d refusals, want none and one", n, wrong)
	}
	// Back leads to the form, a link to a mistake stays; the answer works as any other page.
	eval[bool](b, `history.back(), true`)
	b.until("the form again", `document.readyState === "complete" && !window.siagaShown && !document.querySelector(".summary.errors") && !!document.querySelector("#what")`, 10*time.Second)
	eval[bool](b, `document.querySelector("input[name=real][value=exercise]").click(), document.querySelector("form.form button.primary").click(), true`)
	b.until("the refusal", `document.readyState === "complete" && !!document.querySelector(".summary.errors")`, 10*time.Second)
	eval[bool](b, `document.querySelector(".summary a").click(), true`)
	b.until("the mistake", `location.hash === "#what" && !!document.querySelector(".summary.errors")`, 5*time.Second)
	eval[bool](b, `document.querySelector("#what").value = "Corrected too late, sent again", setTimeout(() => document.querySelector("form.form button.primary").click(), 0), true`)
	b.until("the receipt", `location.search.includes("sent=notified")`, 10*time.Second)
	if n := notices(); n != 1 {
		t.Errorf("%d incidents, want one", n)
	}
	// Also one that is live, at its own time.
	b.open("/incidents/" + w.incident + "/questions?lang=en")
	eval[bool](b, `document.querySelector("#h-ask").closest("section").querySelector("button.primary").click(), true`)
	b.until("the refusal", `document.readyState === "complete" && !!document.querySelector(".summary.errors")`, 10*time.Second)
	eval[bool](b, `document.querySelector("#live [data-live-text]").textContent = "", true`)
	b.until("the stream of the answer", `/^Live/.test(document.querySelector("#live").innerText)`, 5*time.Second)
	_, err := w.node.Incidents.Ask(t.Context(), w.actor["officer"], w.incident, []string{"nusa"}, "Is it still live?")
	w.ok(err)
	b.until("what another one asked", `document.querySelector("[data-region=questions]").innerText.includes("Is it still live?")`, 5*time.Second)
}
