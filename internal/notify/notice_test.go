package notify_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/web"
)

// tell has the directory tell people of something.
func (w *world) tell(n partner.Notice) {
	w.t.Helper()
	if err := w.log.Update(w.t.Context(), func(tx *journal.Tx) error { return notify.Teller(func() time.Time { return w.now })(tx, n) }); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// What happens to somebody's keys reaches them by the first channel that works,
// once, in their language, without names.
func TestNotice(t *testing.T) {
	w := newWorld(t)
	w.tells = true
	ayu, bima := w.person("nusa", "ayu", "id", access.Officer), w.person("nusa", "bima", "en", access.Administrator)
	w.hook(ayu, "/broken")
	w.hook(ayu, "/ayu")
	w.hook(bima, "/bima")
	w.settle()
	w.hooks.take()
	w.hooks.answer("/broken", http.StatusGone)

	w.tell(partner.Notice{Kind: partner.NoticeKeys, Members: []string{ayu.Member, ayu.Member}, About: journal.Ref{Kind: partner.KindMember, ID: ayu.Member}, Path: "/settings/keys"})
	got := w.hooks.take()
	// The broken channel first, then the next one; and its owner and the
	// administrator hear that it is broken.
	var keys, failing []message
	for _, m := range got {
		switch {
		case strings.HasPrefix(m.Text, "SIAGA: kunci Anda diubah"):
			keys = append(keys, m)
		case strings.Contains(m.Text, "saluran pesan") || strings.Contains(m.Text, "message channel"):
			failing = append(failing, m)
		default:
			t.Errorf("unexpected message %q to %s", m.Text, m.Path)
		}
	}
	if paths(keys) != "/broken /ayu" || keys[1].Link != "https://nusa.example/settings/keys" {
		t.Errorf("the keys' notice went to %s", paths(keys))
	}
	w.verified(keys[1])
	if p := paths(failing); !strings.Contains(p, "/bima") || !strings.Contains(p, "/ayu") {
		t.Errorf("a broken channel was told to %q", p)
	}
	for _, m := range got {
		if low := strings.ToLower(m.Text); strings.Contains(low, "ayu") || strings.Contains(low, "bima") {
			t.Errorf("a name in %q", m.Text)
		}
	}
	w.pass(2 * time.Hour)
	if rest := w.hooks.take(); len(rest) != 0 {
		t.Errorf("told again: %s", paths(rest))
	}
	for _, n := range w.notices() {
		if n.State != notify.NoticeOver {
			t.Errorf("notice %s is %s", n.Kind, n.State)
		}
	}
}

// While the other side is away a notice is tried again with growing pauses, and
// given up after about an hour.
func TestNoticeIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	ayu := w.person("nusa", "ayu", "en", access.Officer)
	w.hook(ayu, "/ayu")
	w.settle()
	w.hooks.answer("/ayu", http.StatusInternalServerError)
	n := partner.Notice{Kind: partner.NoticeSignIn, Members: []string{ayu.Member}, About: journal.Ref{Kind: partner.KindMember, ID: ayu.Member}, Path: "/settings/keys"}
	w.tell(n)
	w.pass(3 * time.Minute)
	w.hooks.answer("/ayu", 0)
	w.pass(10 * time.Minute)
	count := func() (k int) {
		for _, m := range w.hooks.take() {
			if strings.Contains(m.Text, "new browser") {
				k++
			}
		}
		return k
	}
	if k := count(); k != 4 {
		t.Errorf("%d attempts, want three that failed and one that did not", k)
	}
	w.hooks.answer("/ayu", http.StatusInternalServerError)
	w.tell(n)
	w.pass(3 * time.Hour)
	if k := count(); k != 8 {
		t.Errorf("%d attempts before it was given up, want 8", k)
	}
	list := w.notices()
	if last := list[len(list)-1]; last.State != notify.NoticeOver {
		t.Errorf("the notice is %s", last.State)
	}
}

// The duty officer and the administrators of an edge's partner are told of its
// silence, once for each, and nobody else is.
func TestSilentEdgeIsToldOnce(t *testing.T) {
	w := newWorld(t)
	sari, bima := w.person("lensa", "sari", "en", access.Officer), w.person("lensa", "bima", "en", access.Administrator)
	ayu := w.person("nusa", "ayu", "en", access.Officer, access.Administrator)
	for _, a := range []access.Actor{sari, bima, ayu} {
		w.hook(a, "/"+a.Name)
	}
	w.settle()
	w.hooks.take()
	since := w.now.Add(-3 * time.Minute)
	for range 3 {
		if err := w.notify.EdgeSilent(t.Context(), "lensa", "upload-1", since); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
	}
	got := w.hooks.take()
	if len(got) != 2 || !strings.Contains(paths(got), "/sari") || !strings.Contains(paths(got), "/bima") {
		t.Errorf("told to %q", paths(got))
	}
	if err := w.notify.EdgeSilent(t.Context(), "lensa", "upload-1", w.now); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if got := w.hooks.take(); len(got) != 2 {
		t.Errorf("the next silence was told to %q", paths(got))
	}
}

// A gap in the roster is told to the administrators days before.
func TestGapIsTold(t *testing.T) {
	w := newWorld(t)
	w.tells = true
	bima, ayu := w.person("nusa", "bima", "en", access.Administrator), w.person("nusa", "ayu", "en", access.Officer)
	w.hook(bima, "/bima")
	w.hook(ayu, "/ayu")
	if _, err := w.duty.Set(t.Context(), bima, duty.Pattern{Zone: "UTC", Shifts: []duty.Shift{{Days: []time.Weekday{time.Monday}, From: 0, Until: 23 * 60, Members: []string{ayu.Member}}}}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.hooks.take()
	for range 2 {
		if err := w.duty.WarnOfGaps(t.Context(), struct{}{}); err != nil {
			t.Fatal(err)
		}
		w.settle()
	}
	if got := w.hooks.take(); paths(got) != "/bima" || !strings.Contains(got[0].Text, "gap") {
		t.Errorf("told to %q", paths(got))
	}
}

// Each kind has its words in English and Indonesian, short enough for one
// message with its link.
func TestNoticesHaveWords(t *testing.T) {
	words, err := web.Speaker()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, kind := range notify.NoticeKinds() {
		for _, lang := range []string{"en", "id"} {
			text := words(lang, "notice.says."+kind)
			if text == "" || strings.Contains(text, "notice.says") || seen[text] {
				t.Errorf("%s %s: %q", lang, kind, text)
			}
			seen[text] = true
			if parts, n, gsm := notify.Parts(text + " https://siaga.nusa.example/admin/requests/r1234 kopi-susu"); parts != 1 || !gsm {
				t.Errorf("%s %s: %d parts, %d characters", lang, kind, parts, n)
			}
		}
	}
	if bytes.Contains([]byte(words("en", "notice.says."+notify.NoticeGap)), []byte("{{")) {
		t.Error("a field is open")
	}
}

// Of a public statement that waits, the other officers of its partner hear, not
// who wrote it; where there are none, an officer of each other partner in the
// room does.
func TestStatementIsToldToASecond(t *testing.T) {
	w := newWorld(t)
	w.tells = true
	ayu, bima := w.person("nusa", "ayu", "en", access.Officer), w.person("nusa", "bima", "id", access.Officer)
	sari, eko := w.person("lensa", "sari", "en", access.Officer), w.person("lensa", "eko", "en", access.Officer)
	for _, a := range []access.Actor{ayu, bima, sari, eko} {
		w.hook(a, "/"+a.Name)
	}
	no := false
	inc, err := w.incidents.Notify(t.Context(), sari, incident.Notice{Description: "A stream", Country: "ID", Exercise: &no})
	if err != nil {
		t.Fatal(err)
	}
	told := func() string {
		w.settle()
		var got []message
		for _, m := range w.hooks.take() {
			if strings.Contains(m.Link, "/statements/") {
				got = append(got, m)
			}
		}
		return paths(got)
	}
	told()
	say := func(by access.Actor) {
		t.Helper()
		if _, err := w.incidents.PostUpdate(t.Context(), by, inc.ID, incident.NewUpdate{Audience: "public", Texts: map[string]string{"en": "Stay away"}, Reason: "people ask"}); err != nil {
			t.Fatal(err)
		}
	}
	say(ayu)
	if got := told(); got != "/bima" {
		t.Errorf("nusa's statement was told to %q", got)
	}
	m := partner.Shell(partner.Partner{ID: "lensa", Kind: access.Platform})
	if _, err := w.partners.ChangeMember(t.Context(), m, eko.Member, partner.Change{Roles: []access.Role{access.Observer}}); err != nil {
		t.Fatal(err)
	}
	say(sari)
	if got := told(); got != "/ayu" && got != "/bima" {
		t.Errorf("the only officer's statement was told to %q", got)
	}
}

// Calls of a partner end with its deactivation, not with what happens next in
// the incident.
func TestDeactivationEndsCalls(t *testing.T) {
	w := newWorld(t)
	w.hook(w.person("nusa", "ayu", "en", access.Officer), "/ayu")
	sari := w.person("lensa", "sari", "en", access.Officer)
	no := false
	if _, err := w.incidents.Notify(t.Context(), sari, incident.Notice{Description: "A stream", Country: "ID", Exercise: &no}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	open := func() (n int) {
		for _, c := range w.calls("nusa") {
			if c.Open() {
				n++
			}
		}
		return n
	}
	if open() != 1 {
		t.Fatalf("%d calls of nusa are open", open())
	}
	shell := partner.Shell(partner.Partner{ID: "secretariat", Kind: access.Intergovernmental, Country: "ID"})
	if _, err := w.partners.Disable(t.Context(), shell, "nusa", true, "The accounts were taken over"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if open() != 0 {
		t.Errorf("%d calls of nusa are open after its deactivation", open())
	}
}
