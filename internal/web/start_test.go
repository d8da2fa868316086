package web_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
)

// The board of a new node tells its administrator what to do next, ticks off
// what is done, and is silent for others, in a crisis and at the end.
func TestFirstSteps(t *testing.T) {
	w := newBareWorld(t)
	ctx := context.Background()
	list, err := w.node.Partners.Members(ctx, w.shell) // the first administrator, of siaga init
	w.ok(err)
	admin := w.open("admin", list[0].ID)
	w.enter(w.shell, "observer", partner.NewMember{Partner: "secretariat", Name: "Dewi", Roles: []access.Role{access.Observer}})
	open := func() (out []string) {
		p := w.get("admin", "/?lang=en")
		for _, n := range p.all("section", "data-region") {
			if attr(n, "data-region") != "start" {
				continue
			}
			for _, row := range (page{doc: n}).all("li", "") {
				if a := (page{doc: row}).all("a", "href"); len(a) == 1 {
					out = append(out, attr(a[0], "href"))
				} else if !strings.Contains(text(row), "Done") {
					t.Errorf("a step is neither done nor leads anywhere: %s", text(row))
				}
			}
		}
		return out
	}
	want := []string{"/admin/members", "/partners/new", "/duty", "/messages", "/edges/new", "/edges", "/incidents/new"}
	expect := func(what string) {
		t.Helper()
		if got := open(); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("%s: to do are %v, want %v", what, got, want)
		}
	}
	done := func(path string) {
		for i, p := range want {
			if p == path {
				want = append(want[:i:i], want[i+1:]...)
			}
		}
	}
	expect("a new node")
	if p := w.get("observer", "/?lang=en"); strings.Contains(p.body, "First steps") {
		t.Error("an observer is told to set up the node")
	}
	w.enter(w.shell, "second", partner.NewMember{Partner: "secretariat", Name: "Fitri", Roles: []access.Role{access.Administrator}})
	done("/admin/members")
	expect("a second administrator")
	_, err = w.node.Partners.Add(ctx, w.shell, partner.NewPartner{Name: "Lensa", Kind: access.Platform, Country: "ID"})
	w.ok(err)
	done("/partners/new")
	expect("a partner")
	_, err = w.node.Duty.Set(ctx, admin, duty.Pattern{Zone: "UTC", Shifts: []duty.Shift{{Days: []time.Weekday{0, 1, 2, 3, 4, 5, 6}, From: 0, Until: 0, Members: []string{admin.Member}}}})
	w.ok(err)
	done("/duty")
	expect("a roster")
	admin.StepUp, admin.For = w.clock(), access.AnyAction
	_, _, err = w.node.Partners.CreateToken(ctx, admin, partner.NewToken{Name: "e1", Roles: []access.Role{access.Edge}})
	w.ok(err)
	done("/edges/new")
	expect("a token")
	yes, no := true, false
	_, err = w.node.Incidents.Notify(ctx, admin, incident.Notice{Title: "Samudra", Description: "practice", Exercise: &yes})
	w.ok(err)
	done("/incidents/new")
	expect("an exercise")
	_, err = w.node.Incidents.Notify(ctx, admin, incident.Notice{Title: "Attack", Description: "A stream", Exercise: &no})
	w.ok(err)
	if got := open(); got != nil {
		t.Errorf("in a crisis the board still asks for %v", got)
	}
}
