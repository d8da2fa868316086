package web

import (
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/notify"
)

// A partner that was not called in time, nor will be, is said to be so in every
// language, with what to do; one that is called on is not.
func TestNotCalledIsSaid(t *testing.T) {
	c, err := loadCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 2, 17, 30, 0, 0, time.UTC)
	for _, tag := range c.tags {
		f := &Frame{word: c.pick(tag.String(), ""), Now: at, Zone: time.UTC}
		row := f.standing(notify.Standing{Partner: "lensa", State: notify.Missed, Asked: notify.AskNotified}, nil)
		if row.Chip.Word != f.T("state.missed") || row.Detail != f.T("acks.last.missed") || row.Next != f.T("acks.next.missed") {
			t.Errorf("%s: %+v, %q, %q", tag, row.Chip, row.Detail, row.Next)
		}
		for _, s := range []string{row.Chip.Word, row.Detail, row.Next} {
			if strings.Contains(s, "⟦") || s == "" {
				t.Errorf("%s: no text: %q", tag, s)
			}
		}
		if on := f.standing(notify.Standing{Partner: "lensa", State: notify.Calling, NextAt: at, NextTo: "again"}, nil); on.Chip.Word == row.Chip.Word || on.Next == row.Next {
			t.Errorf("%s: one that is called on: %+v", tag, on)
		}
	}
}
