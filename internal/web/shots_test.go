package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
	"github.com/siaga-crp/siaga/internal/web"
)

// TestShots takes pictures of every page of the scenario at 14:52 UTC into the
// folder SIAGA_SHOTS, to be looked at beside the drawings: wide and narrow,
// light in English, dark in Indonesian, some in Arabic. SIAGA_SHOTS_ONLY is a
// regular expression of paths.
func TestShots(t *testing.T) {
	dir := os.Getenv("SIAGA_SHOTS")
	if dir == "" {
		t.Skip("pictures of the pages: set SIAGA_SHOTS to a folder")
	}
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 14, 20, 0, 0, time.UTC)
	at := func(clock string) {
		c, _ := time.Parse("15:04", clock)
		now = time.Date(2026, 3, 2, c.Hour(), c.Minute(), 5, 0, time.UTC)
	}
	w := &world{t: t, browser: map[string]*http.Client{}, actor: map[string]access.Actor{}, key: map[string]string{}}
	data := t.TempDir() + "/node"
	made, err := app.Init(ctx, app.InitOptions{Data: data, Origin: "nusa.example/siaga", Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}})
	w.ok(err)
	w.node, err = app.New(ctx, app.Options{Data: data, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
	w.ok(err)
	server := httptest.NewServer(w.node.Handler())
	w.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); w.ok(w.node.Close()) })
	shell := partner.Shell(made.Partner)
	all := []access.Role{access.Administrator, access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer}
	for _, p := range []partner.NewPartner{
		{Name: "Nusa", Kind: access.Government, Country: "ID", Zone: "Asia/Jakarta"}, {Name: "Tasman", Kind: access.Government, Country: "AU"}, {Name: "Selat", Kind: access.Government, Country: "SG"},
		{Name: "Lensa", Kind: access.Platform, Country: "ID"}, {Name: "Gema", Kind: access.Platform, Country: "SG"}, {Name: "Suara", Kind: access.Platform, Country: "ID"},
		{Name: "Kanal", Kind: access.Platform, Country: "MY"}, {Name: "Tawa", Kind: access.Platform, Country: "TH"}, {Name: "Dana", Kind: access.Platform, Country: "ID"}, {Name: "Kabar", Kind: access.Platform, Country: "ID"},
	} {
		got, err := w.node.Partners.Add(ctx, shell, p)
		w.ok(err)
		m, _, err := w.node.Partners.AddMember(ctx, shell, partner.NewMember{Partner: got.ID, Name: map[string]string{"nusa": "Ayu P.", "lensa": "Sari"}[got.ID] + strings.Repeat("Duty officer", map[bool]int{true: 0, false: 1}[got.ID == "nusa" || got.ID == "lensa"]), Email: got.ID + "@example.org", Roles: all})
		w.ok(err)
		code, err := w.node.Partners.IssueOpen(ctx, m.ID, time.Hour)
		w.ok(err)
		w.key[got.ID], err = w.node.Partners.Open(ctx, code)
		w.ok(err)
		w.actor[got.ID], _, err = w.node.Partners.BySession(ctx, w.key[got.ID])
		w.ok(err)
	}
	who := func(p string) access.Actor { a := w.actor[p]; a.StepUp = now; return a }
	act := func(p, proto string, do protocol.Action) {
		_, err := w.node.Incidents.Act(ctx, who(p), w.incident, proto, do)
		w.ok(err)
	}
	no, yes := false, true
	at("14:33")
	inc, err := w.node.Incidents.Notify(ctx, who("lensa"), incident.Notice{Title: "Attack on a market, Kota Seroja", Description: "A man streams an attack on a market.", Where: "Kota Seroja", Country: "ID", URLs: []string{"https://lensa.example/live/9"}, Live: "yes", MoreExpected: "unknown", SeenAt: time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC), Exercise: &no})
	w.ok(err)
	w.incident = inc.ID
	ex, err := w.node.Incidents.Notify(ctx, who("selat"), incident.Notice{Title: "Samudra", Description: "practice", Exercise: &yes})
	w.ok(err)
	_ = ex
	at("14:35")
	_, err = w.node.Incidents.Assess(ctx, who("nusa"), inc.ID, "", []incident.Answer{{Criterion: "real_world_attack", Answer: "yes", Evidence: "police in Kota Seroja"}, {Criterion: "perpetrator_content", Answer: "yes", Evidence: "stream seen by Lensa"}})
	w.ok(err)
	at("14:36")
	act("nusa", "sea-crp", protocol.Action{Verb: protocol.UseEmergency, Level: "crisis", Reason: "a second place is named"})
	at("14:38")
	quality := 88
	for i := range 9 {
		sig, err := w.node.Signals.Propose(ctx, who("lensa"), signal.Proposal{Incident: inc.ID, Kind: "pdq", Value: strings.Repeat(string("0123456789abcdef"[i+2])+"f1e2d3c4b5a6978", 4), Labels: []string{"propaganda"}, Producer: "perpetrator", Action: signal.Block, TLP: "amber", Note: "still from second 41", Provenance: signal.Provenance{Quality: &quality, Tool: "siaga hash"}})
		w.ok(err)
		if i < 8 {
			_, err = w.node.Signals.Approve(ctx, who("nusa"), sig.ID, signal.Decision{Reason: "checked"})
		}
		w.ok(err)
	}
	at("14:41")
	act("gema", "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes, Reason: "copies on Gema"})
	for i, p := range []string{"tasman", "selat", "gema", "suara", "kanal", "tawa"} {
		at([]string{"14:42", "14:43", "14:44", "14:45", "14:46", "14:47"}[i])
		if p == "suara" {
			at("14:45")
		}
		_, err := w.node.Incidents.Acknowledge(ctx, who(p), inc.ID)
		w.ok(err)
	}
	at("14:48")
	_, err = w.node.Incidents.PostUpdate(ctx, who("nusa"), inc.ID, incident.NewUpdate{Texts: map[string]string{"en": "An attack on a market in Kota Seroja was streamed on Lensa. The stream ended at 14:36. sea-crp is active at level crisis.", "id": "Serangan di pasar Kota Seroja disiarkan di Lensa. Siaran berakhir 14.36."}})
	w.ok(err)
	w.publish(who("nusa"), who("lensa"), inc.ID, incident.NewUpdate{Reason: "People ask what to do", Texts: map[string]string{"en": "Platforms are stopping copies of the attacker's video. Do not share it.", "id": "Platform menghentikan salinan video pelaku. Jangan membagikannya."}})
	at("14:49")
	act("tasman", "cc-crp", protocol.Action{Verb: protocol.Propose, Level: "online_crisis", Reason: "Copies reach services outside the region."})
	_, err = w.node.Incidents.Ask(ctx, who("gema"), inc.ID, []string{"nusa"}, "Is the second place that the stream names confirmed?")
	w.ok(err)
	for m := range 14 {
		for p, n := range map[string][]int64{"gema": {0, 3, 14, 28, 41, 52, 55, 49, 44, 40, 35, 31, 26, 22}, "lensa": {18, 22, 20, 17, 15, 14, 12, 11, 10, 9, 8, 8, 7, 6}, "suara": {0, 2, 9, 12, 15, 17, 16, 14, 13, 11, 10, 9, 8, 7}} {
			w.ok(w.node.Signals.AddCounts(ctx, p, p+"-1", p+string(rune('a'+m)), []signal.MatchCount{{Signal: "S-0001", Minute: time.Date(2026, 3, 2, 14, 38+m, 0, 0, time.UTC).Unix() / 60, Action: signal.Block, Matches: n[m]}}))
		}
	}
	for p, n := range map[string][3]int64{"gema": {31, 2, 1}, "lensa": {12, 0, 0}} {
		edge := access.Actor{Partner: p, Kind: access.Platform, Name: p + "-1", Roles: []access.Role{access.Edge}, Scopes: []access.TokenScope{access.ScopeFeed}}
		_, err := w.node.Signals.AddVerdicts(ctx, edge, p+"-1", "x.v.1", []signal.VerdictCount{
			{Signal: "S-0001", Verdict: signal.TruePositive, Count: n[0]}, {Signal: "S-0001", Verdict: signal.FalsePositive, Count: n[1]}, {Signal: "S-0001", Verdict: signal.Disputed, Count: n[2]},
		})
		w.ok(err)
	}
	at("14:52")
	w.ok(w.node.Incidents.Tick(ctx))
	code, err := w.node.Partners.IssueOpen(ctx, w.actor["nusa"].Member, time.Hour)
	w.ok(err)
	w.key["nusa"], err = w.node.Partners.Open(ctx, code)
	w.ok(err)
	w.actor["officer"], w.signal, w.proposed = w.actor["nusa"], "S-0001", "S-0009"
	w.exercise = ex.ID
	def, err := protocol.Lookup("sea-crp")
	w.ok(err)
	version, err := w.node.Incidents.ProposeVersion(ctx, who("tasman"), []byte(strings.NewReplacer("version: 1.0.0", "version: 1.1.0", "due: 10m", "due: 15m").Replace(string(def.Source))), "Ten minutes to acknowledge were too few at night.")
	w.ok(err)
	w.version = version.Hash
	b := w.tab(t, "nusa")
	shot := func(name, path string, width int64, theme, lang string, then func(*tab)) {
		b.wide(width)
		b.cookie("siaga_theme", theme)
		b.cookie("siaga_lang", lang)
		b.open(path)
		if then != nil {
			then(b)
		}
		png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		b.ok(err)
		b.ok(os.WriteFile(filepath.Join(dir, name), png, 0o644))
	}
	room := "/incidents/" + inc.ID
	for name, path := range map[string]string{"brief.pdf": room + "/brief", "board.pdf": "/", "room.pdf": room} {
		b.cookie("siaga_lang", "en")
		b.open(path)
		b.ok(os.WriteFile(filepath.Join(dir, name), b.printed(), 0o644))
	}
	only, err := regexp.Compile(os.Getenv("SIAGA_SHOTS_ONLY"))
	w.ok(err)
	for _, path := range append(w.paths(web.Patterns()), "/?wall=1") {
		if !only.MatchString(path) {
			continue
		}
		name := strings.Trim(strings.NewReplacer("/", "_", "?", "-", "&", "-", "=", "", inc.ID, "incident", ex.ID, "exercise", w.version, "hash", w.actor["officer"].Member, "member").Replace(path), "_")
		if path == "/" {
			name = "board"
		}
		for _, k := range []struct {
			width       int64
			theme, lang string
		}{{1280, "light", "en"}, {390, "light", "en"}, {1280, "dark", "id"}, {390, "dark", "id"}, {390, "light", "ar"}} {
			if k.lang == "ar" && path != "/" && path != room && path != "/public" && path != "/incidents/new" {
				continue
			}
			shot(fmt.Sprintf("%s-%d-%s-%s.png", name, k.width, k.theme, k.lang), path, k.width, k.theme, k.lang, nil)
		}
	}
	rare := newWorld(t)
	for _, v := range rare.rare(t) {
		if !only.MatchString(v.path) {
			continue
		}
		for _, k := range []struct {
			width       int64
			theme, lang string
		}{{1280, "light", "en"}, {390, "dark", "id"}, {390, "light", "ar"}} {
			b = rare.tab(t, v.who)
			if v.base != "" {
				b.base = v.base
			}
			shot(fmt.Sprintf("rare-%s-%d-%s-%s.png", v.name, k.width, k.theme, k.lang), v.path, k.width, k.theme, k.lang, v.then)
		}
	}
}
