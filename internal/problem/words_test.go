package problem_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Every sentence of a problem reaches the one who translates it with its
// format, unless the sentence was changed after it was made.
func TestIn(t *testing.T) {
	var asked []string
	say := func(w problem.Words) string {
		asked = append(asked, w.Format)
		return strings.ToUpper(w.String())
	}
	e := problem.Newf(problem.Conflict, "group %s is %s", "G-1", problem.Say("open since %d", 7)).WithFix("ask %s", problem.AnyOf(problem.Names("a", "b", "c")))
	got := e.In(say)
	if got.Detail != "GROUP G-1 IS OPEN SINCE 7" || got.Fix != "ASK A, B OR C" || got.Kind != problem.Conflict {
		t.Errorf("got %q and %q", got.Detail, got.Fix)
	}
	if diff := cmp.Diff([]string{"group %s is %s", "ask %s"}, asked); diff != "" {
		t.Error(diff)
	}
	if e.Detail != "group G-1 is open since 7" {
		t.Errorf("the problem itself changed: %q", e.Detail)
	}

	var f problem.InvalidFields
	f.Add("name", "up to %d characters", 60)
	f.Add("country", "enter two letters")
	asked = nil
	wrong := f.Err().(*problem.Error)
	wrong.Fields[1].Detail = "written by hand, 100 %"
	got = wrong.In(say)
	if diff := cmp.Diff([]string{"%d fields need a change; first %s: %s", "correct the fields and send again", "up to %d characters", "written by hand, 100 %"}, asked); diff != "" {
		t.Error(diff)
	}
	if got.Fields[1].Detail != "WRITTEN BY HAND, 100 %" || got.Detail != "2 FIELDS NEED A CHANGE; FIRST NAME: UP TO 60 CHARACTERS" {
		t.Errorf("got %+v", got)
	}
}
