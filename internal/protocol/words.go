package protocol

import (
	"fmt"
	"slices"
	"strings"

	"github.com/siaga-crp/siaga/internal/access"
)

// tongue is one of the languages that this package speaks by itself, to
// describe definitions: English or Indonesian.
type tongue int

const (
	english tongue = iota
	indonesian
)

func tongueOf(lang string) tongue {
	if base, _, _ := strings.Cut(lang, "-"); base == "id" {
		return indonesian
	}
	return english
}

func (t tongue) tag() string { return Languages()[t] }

// pick returns the text in the tongue.
func (t tongue) pick(en, id string) string {
	if t == indonesian {
		return id
	}
	return en
}

// Words returns the state in words, in English or Indonesian.
func (s State) Words(lang string) string {
	t := tongueOf(lang)
	switch s {
	case None:
		return t.pick("nothing proposed", "belum ada usulan")
	case Voting:
		return t.pick("voting", "pemungutan suara")
	case Declined:
		return t.pick("declined", "ditolak")
	case Provisional:
		return t.pick("provisional", "sementara")
	case Active:
		return t.pick("active", "aktif")
	case StandingDown:
		return t.pick("standing down", "sedang diakhiri")
	case Concluded:
		return t.pick("concluded", "selesai")
	case Reviewed:
		return t.pick("reviewed", "sudah ditinjau")
	}
	return string(s)
}

func (t tongue) kind(k access.PartnerKind) string {
	switch k {
	case access.Government:
		return t.pick("government", "pemerintah")
	case access.Intergovernmental:
		return t.pick("intergovernmental organisation", "organisasi antarpemerintah")
	case access.Platform:
		return t.pick("platform", "platform")
	case access.CivilSociety:
		return t.pick("civil society organisation", "organisasi masyarakat sipil")
	case access.Research:
		return t.pick("research institution", "lembaga riset")
	}
	return string(k)
}

// list joins with commas and a last word: "a, b and c".
func (t tongue) list(items []string, last string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	comma := ""
	if len(items) > 2 && t == indonesian {
		comma = ","
	}
	return strings.Join(items[:len(items)-1], ", ") + comma + " " + last + " " + items[len(items)-1]
}

func (t tongue) and() string { return t.pick("and", "dan") }
func (t tongue) or() string  { return t.pick("or", "atau") }

func (t tongue) kinds(ks []access.PartnerKind) string {
	if len(ks) == len(access.PartnerKinds()) {
		return t.pick("any partner", "mitra mana pun")
	}
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = t.kind(k)
	}
	return t.list(names, t.or())
}

// rule says a quorum: "2 partners (government or platform), among them at
// least 1 government and 1 platform".
func (t tongue) rule(r Rule) string {
	partners := t.pick("partners", "mitra")
	if r.Quorum == 1 {
		partners = t.pick("partner", "mitra")
	}
	s := fmt.Sprintf("%d %s (%s)", r.Quorum, partners, t.kinds(r.Kinds))
	var least []string
	for _, k := range access.PartnerKinds() {
		if n := r.AtLeast[k]; n > 0 {
			least = append(least, fmt.Sprintf("%d %s", n, t.kind(k)))
		}
	}
	if len(least) > 0 {
		s += t.pick(", among them at least ", ", di antaranya sedikitnya ") + t.list(least, t.and())
	}
	return s
}

// short says a quorum for a drawing: "2 partners, ≥ 1 government, ≥ 1 platform".
func (t tongue) short(r Rule) string {
	partners := t.pick("partners", "mitra")
	if r.Quorum == 1 {
		partners = t.pick("partner", "mitra")
	}
	s := fmt.Sprintf("%d %s", r.Quorum, partners)
	for _, k := range access.PartnerKinds() {
		if n := r.AtLeast[k]; n > 0 {
			s += fmt.Sprintf(", ≥ %d %s", n, t.kind(k))
		}
	}
	return s
}

func (t tongue) who(w Who) string {
	switch w.Role {
	case EveryPartner:
		return t.pick("every partner", "setiap mitra")
	case TheLead:
		return t.pick("the lead", "mitra pemimpin")
	case TheAuthority:
		return t.pick("those who may activate", "mitra yang berhak mengaktifkan")
	}
	if len(w.Kinds) == len(access.PartnerKinds()) {
		return t.pick("every partner", "setiap mitra")
	}
	names := make([]string, len(w.Kinds))
	for i, k := range w.Kinds {
		names[i] = t.kind(k)
	}
	return t.pick("each ", "setiap ") + t.list(names, t.and())
}

func (t tongue) starts(s string) string {
	switch s {
	case AtProposed:
		return t.pick("a proposal", "usulan")
	case AtProvisional:
		return t.pick("an emergency measure", "tindakan darurat")
	case AtActivated:
		return t.pick("activation", "aktivasi")
	case AtLastUpdate:
		return t.pick("the last update", "pembaruan terakhir")
	case AtStandingDown:
		return t.pick("the decision to stand down", "keputusan untuk mengakhiri")
	case AtConcluded:
		return t.pick("the conclusion", "penutupan")
	}
	return s
}

func (t tongue) target(s string) string {
	switch s {
	case ToNextOnRoster:
		return t.pick("the next person on the roster", "orang berikutnya dalam daftar jaga")
	case ToPhone:
		return t.pick("a telephone call", "panggilan telepon")
	case ToPartnerLead:
		return t.pick("the partner's lead", "pimpinan mitra tersebut")
	case ToLead:
		return t.pick("the lead", "mitra pemimpin")
	case ToAuthority:
		return t.pick("those who may activate", "mitra yang berhak mengaktifkan")
	}
	return s
}

func (t tongue) action(a SignalAction) string {
	switch a {
	case Block:
		return t.pick("block", "blokir")
	case Review:
		return t.pick("review", "tinjau")
	case Monitor:
		return t.pick("monitor", "pantau")
	}
	return string(a)
}

func (t tongue) producer(p Producer) string {
	switch p {
	case Perpetrator:
		return t.pick("perpetrator", "pelaku")
	case Accomplice:
		return t.pick("accomplice", "kaki tangan")
	case Bystander:
		return t.pick("bystander", "saksi mata")
	case Media:
		return t.pick("media", "media")
	case UnknownProducer:
		return t.pick("unknown", "tidak diketahui")
	}
	return string(p)
}

func (t tongue) answer(s string) string {
	switch Truth(s) {
	case Yes:
		return t.pick("yes", "ya")
	case No:
		return t.pick("no", "tidak")
	case Unknown:
		return t.pick("unknown", "tidak diketahui")
	}
	return s
}

// condition says a condition in one line, by the criteria's identifiers, so
// that it is short enough to be compared.
func (t tongue) condition(d *Definition, c Condition) string {
	if c.Criterion != "" {
		if slices.Equal(c.Is, []string{string(Yes)}) {
			return c.Criterion
		}
		cr, _ := d.Criterion(c.Criterion)
		var is []string
		for _, v := range c.Is {
			word := t.answer(v)
			for _, ch := range cr.Choices {
				if ch.ID == v {
					word = "\"" + ch.Title.In(t.tag()) + "\""
				}
			}
			is = append(is, word)
		}
		return c.Criterion + " = " + strings.Join(is, " / ")
	}
	group := func(cs []Condition, word string) string {
		var parts []string
		for _, x := range cs {
			s := t.condition(d, x)
			if x.Criterion == "" && len(cs) > 1 {
				s = "(" + s + ")"
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, " "+word+" ")
	}
	var parts []string
	if len(c.All) > 0 {
		parts = append(parts, group(c.All, t.and()))
	}
	if len(c.Any) > 0 {
		s := group(c.Any, t.or())
		if len(c.Any) > 1 && (len(c.All) > 0 || len(c.None) > 0) {
			s = "(" + s + ")"
		}
		parts = append(parts, s)
	}
	for _, x := range c.None {
		s := t.condition(d, x)
		if x.Criterion == "" || len(x.Is) != 1 || x.Is[0] != string(Yes) {
			s = "(" + s + ")"
		}
		parts = append(parts, t.pick("not ", "bukan ")+s)
	}
	return strings.Join(parts, " "+t.and()+" ")
}
