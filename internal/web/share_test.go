package web_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
)

var formKey = regexp.MustCompile(`name="_key" value="([0-9a-f]{32})"`)

// Regions that are made once for many readers are what each would get alone:
// whatever partner, role, language or person asks first, and whatever was made
// before. Forms never get the same key.
func TestSharedRegionsAreEachReadersOwn(t *testing.T) {
	var frozen atomic.Int64 // ages are shown: the clock stands still while answers are compared
	w := newWorldWith(t, func(o *app.Options) {
		o.Now = func() time.Time {
			if at := frozen.Load(); at != 0 {
				return time.UnixMilli(at)
			}
			return time.Now()
		}
	})
	ctx := context.Background()
	all := []access.Role{access.Administrator, access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer}
	for name, m := range map[string]partner.NewMember{
		"colleague": {Partner: "nusa", Name: "Fitri", Roles: all},
		"watcher":   {Partner: "nusa", Name: "Gilang", Roles: []access.Role{access.Observer}},
		"fellow":    {Partner: "nusa", Name: "Hana", Roles: all, Language: "id"},
		"partner":   {Partner: "lensa", Name: "Indra", Roles: all},
	} {
		w.enter(w.shell, name, m)
	}
	people := []string{"officer", "platform", "reviewer", "observer", "operator", "colleague", "watcher", "fellow", "partner"}
	shown := func(p page) string {
		return fmt.Sprint(p.status, formKey.ReplaceAllString(p.body, "a key"))
	}
	regions := "head,runs,asks,acks,clocks,update,counts,unknown,timeline,spread"
	for round, change := range []func() error{
		func() error { return nil },
		func() error { // for the named partners alone
			_, err := w.node.Incidents.PostUpdate(ctx, w.actor["officer"], w.incident, incident.NewUpdate{TLP: "red", Texts: map[string]string{"en": "Between us"}})
			return err
		},
		func() error { // of a shift, Ayu is not asked what she asks her colleagues
			_, err := w.node.Incidents.OfferHandover(ctx, w.actor["officer"], w.incident, "", "nusa", "Two questions are open")
			return err
		},
	} {
		frozen.Store(0)
		w.ok(change())
		frozen.Store(time.Now().UnixMilli())
		for _, number := range []string{w.incident, w.exercise} {
			path := "/incidents/" + number + "?region=" + regions
			alone := map[string]string{}
			different := map[string]bool{}
			for i, who := range people { // no one else asks for this address
				alone[who] = shown(w.get(who, fmt.Sprintf("%s&alone=%d.%d", path, round, i)))
				different[alone[who]] = true
			}
			if len(different) < 4 {
				t.Fatalf("%s: %d different answers: the test compares nothing", path, len(different))
			}
			var together sync.WaitGroup
			var mu sync.Mutex
			keys := map[string]bool{}
			for i := range 3 * len(people) {
				who := people[i%len(people)]
				together.Go(func() {
					p := w.get(who, path)
					if got := shown(p); got != alone[who] {
						t.Errorf("%s got another's %s:\n%s\nwant\n%s", who, path, got, alone[who])
					}
					mu.Lock()
					defer mu.Unlock()
					for _, m := range formKey.FindAllStringSubmatch(p.body, -1) {
						if keys[m[1]] {
							t.Errorf("%s: two forms have the key %s", path, m[1])
						}
						keys[m[1]] = true
					}
				})
			}
			together.Wait()
		}
	}
	// Who is signed out, or has other roles, gets nothing that was kept.
	frozen.Store(0)
	w.ok(w.node.Partners.SignOut(ctx, w.key["colleague"]))
	w.browser["colleague"].CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if p := w.get("colleague", "/incidents/"+w.incident+"?region="+regions); p.status != http.StatusSeeOther {
		t.Errorf("signed out, the regions answer %d", p.status)
	}
}
