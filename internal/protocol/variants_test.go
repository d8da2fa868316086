package protocol_test

import (
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

func TestVariantsAreRead(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       protocol.SignalAction
		complaint  string // "": none
	}{
		{"left out", "", "", ""},
		{"never", "variants: {at_once: never}", "", ""},
		{"review", "variants: {at_once: review, kinds: [platform]}", protocol.Review, ""},
		{"block", "variants: {at_once: block, kinds: [platform]}", "", "cannot block before another partner has approved it"},
		{"another word", "variants: {at_once: soon, kinds: [platform]}", "", "signals.variants.at_once"},
		{"nothing", "variants: {}", "", "signals.variants: at_once is missing"},
		{"nobody", "variants: {at_once: review}", "", "signals.variants: kinds is missing"},
		{"who may not propose", "variants: {at_once: review, kinds: [research]}", "", "research may not propose signals"},
		{"another key", "variants: {at_once: review, kinds: [platform], how: now}", "", "how"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(minimal(t), "  expires: 30d\n", "  expires: 30d\n  "+c.line+"\n", 1)
			d, mistakes := protocol.Parse([]byte(text))
			if c.complaint == "" {
				if len(mistakes) > 0 || d.Signals.Variants.AtOnce != c.want {
					t.Errorf("%v, %+v", mistakes, d.Signals.Variants)
				}
				return
			}
			all := ""
			for _, m := range mistakes {
				all += m.String() + "\n"
			}
			if !strings.Contains(all, c.complaint) {
				t.Errorf("mistakes:\n%s, want %q", all, c.complaint)
			}
		})
	}
}

func TestVariantAtOnce(t *testing.T) {
	sea, eu := newRun(t, "sea-crp"), newRun(t, "eu-cp")
	idle := protocol.Run{Definition: sea.d}
	sea.activate()
	active := protocol.Run{Definition: sea.d, Activation: sea.a}
	eu.propose(nusa, minute(0))
	eu.do(actor("europol", access.Intergovernmental), minute(1), yes)
	for _, c := range []struct {
		name string
		runs []protocol.Run
		kind access.PartnerKind
		at   int
		want protocol.SignalAction
	}{
		{"active, a platform", []protocol.Run{active}, access.Platform, 5, protocol.Review},
		{"active, a government", []protocol.Run{active}, access.Government, 5, ""},
		{"not active", []protocol.Run{idle}, access.Platform, 5, ""},
		{"past the sunset", []protocol.Run{active}, access.Platform, 1441, ""},
		{"none", nil, access.Platform, 5, ""},
		{"another protocol, which says nothing", []protocol.Run{{Definition: eu.d, Activation: eu.a}}, access.Platform, 5, ""},
	} {
		got, under := protocol.VariantAtOnce(c.runs, c.kind, minute(c.at))
		if got != c.want || (got != "") != (under == "sea-crp@1.0.0 signals.variants.at_once") {
			t.Errorf("%s: %q under %q, want %q", c.name, got, under, c.want)
		}
	}
}
