package protocol

import (
	"fmt"
	"slices"
	"strings"
)

// Section is a part of a definition as a person reads it.
type Section struct {
	ID    string `json:"id"` // the definition's key, for links
	Title string `json:"title"`
	Items []Item `json:"items"`
}

// Item is one statement of a section.
type Item struct {
	ID    string   `json:"id,omitempty"`    // of the criterion, level, clock or task; "" for others
	Label string   `json:"label,omitempty"` // who or when, in a few words
	Text  string   `json:"text"`
	More  []string `json:"more,omitempty"` // help, choices, steps of escalation
}

// Describe tells the definition as a story (when, who decides, what follows,
// how it ends), in English or Indonesian, for pages and the command line.
func Describe(d *Definition, lang string) []Section {
	t := tongueOf(lang)
	sections := []Section{
		t.describeCriteria(d), t.describeLevels(d), t.describeAuthority(d), t.describeSignals(d), t.describeClocks(d),
	}
	sections = append(sections, t.describeTasks(d)...)
	return append(sections, t.describeStandDown(d), t.describeAfterAction(d), t.describeAudiences(d), t.describeTemplates(d))
}

// StatusWords says what standing the file has.
func (d *Definition) StatusWords(lang string) string {
	t := tongueOf(lang)
	if d.Status.Modelled {
		return t.pick("modelled on public descriptions: an example to edit, not an official text",
			"disusun dari uraian publik: contoh untuk disunting, bukan naskah resmi")
	}
	s := fmt.Sprintf(t.pick("adopted by %s on %s", "diadopsi oleh %s pada %s"), d.Status.By, d.Status.On)
	if d.Status.Link != "" {
		s += ", " + d.Status.Link
	}
	return s
}

func (t tongue) describeCriteria(d *Definition) Section {
	s := Section{ID: "criteria", Title: t.pick("What is asked first", "Yang ditanyakan terlebih dahulu")}
	for _, c := range d.Criteria {
		it := Item{ID: c.ID, Text: c.Ask.In(t.tag())}
		if h := c.Help.In(t.tag()); h != "" {
			it.More = append(it.More, h)
		}
		choices := []string{t.answer(string(Yes)), t.answer(string(No))}
		if len(c.Choices) > 0 {
			choices = nil
			for _, ch := range c.Choices {
				choices = append(choices, ch.Title.In(t.tag()))
			}
		}
		choices = append(choices, t.answer(string(Unknown)))
		it.More = append(it.More, t.pick("Answers: ", "Jawaban: ")+strings.Join(choices, " · "))
		s.Items = append(s.Items, it)
	}
	return s
}

func (t tongue) describeLevels(d *Definition) Section {
	s := Section{ID: "levels", Title: t.pick("How grave it is (advice; the authority decides)", "Seberapa berat (saran; yang berwenang memutuskan)")}
	for _, l := range d.Levels {
		s.Items = append(s.Items, Item{ID: l.ID, Label: l.Title.In(t.tag()), Text: t.pick("if ", "jika ") + t.condition(d, l.When)})
	}
	return s
}

func (t tongue) describeAuthority(d *Definition) Section {
	a := d.Authority
	s := Section{ID: "authority", Title: t.pick("Who decides (partners are counted, not people)", "Siapa yang memutuskan (yang dihitung mitra, bukan orang)")}
	add := func(id, label, text string, more ...string) {
		s.Items = append(s.Items, Item{ID: id, Label: label, Text: text, More: more})
	}
	add("notify", t.pick("Notify", "Memberi tahu"), t.kinds(a.Notify.Kinds))
	more := []string{t.pick("Never the proposer's partner alone.", "Tidak pernah mitra pengusul saja.")}
	if d.MayBlock() {
		more = append(more, t.pick("Always partners of two kinds, and not governments alone, because it may block.",
			"Selalu mitra dari dua jenis, dan tidak hanya pemerintah, karena protokol ini dapat memblokir."))
	}
	open := func(r Rule) string {
		return fmt.Sprintf(t.pick("; a vote is open for %s", "; pemungutan suara dibuka selama %s"), r.VoteOpen.In(t.tag()))
	}
	add("activate", t.pick("Activate", "Mengaktifkan"), t.rule(a.Activate)+open(a.Activate), more...)
	if e := a.Emergency; e != nil {
		add("emergency", t.pick("Emergency", "Darurat"),
			fmt.Sprintf(t.pick("1 partner (%s) alone, for review only; it ends after %s unless a quorum confirms it",
				"1 mitra (%s) saja, hanya untuk peninjauan; berakhir setelah %s kecuali dikonfirmasi kuorum"),
				t.kinds(e.Kinds), e.ConfirmWithin.In(t.tag())))
	} else {
		add("emergency", t.pick("Emergency", "Darurat"), t.pick("nobody decides alone", "tidak ada yang memutuskan sendiri"))
	}
	add("renew", t.pick("Renew", "Memperpanjang"), t.rule(a.Renew))
	add("stand_down", t.pick("Stand down", "Mengakhiri"), t.rule(a.StandDown)+open(a.StandDown))
	return s
}

func (t tongue) describeSignals(d *Definition) Section {
	g := d.Signals
	s := Section{ID: "signals", Title: t.pick("What platforms are asked to do with copies", "Apa yang diminta dari platform terhadap salinan")}
	add := func(label, text string) { s.Items = append(s.Items, Item{Label: label, Text: text}) }
	for _, act := range SignalActions() {
		var ps []string
		for _, p := range Producers() {
			if d.DefaultAction(p) == act {
				ps = append(ps, t.producer(p))
			}
		}
		if len(ps) > 0 {
			add(strings.ToUpper(t.action(act)), t.pick("made by: ", "dibuat oleh: ")+strings.Join(ps, ", "))
		}
	}
	add(t.pick("At most", "Paling jauh"), t.action(g.AtMost))
	add(t.pick("Propose", "Mengusulkan"), t.kinds(g.Propose))
	approve := t.rule(Rule{Quorum: g.Approve.Quorum, Kinds: g.Approve.Kinds})
	if g.Approve.OtherPartner {
		approve += t.pick(", never the one that proposed", ", bukan mitra pengusul")
	}
	add(t.pick("Approve for all", "Menyetujui untuk semua"), approve)
	if g.Variants.AtOnce != "" {
		add(t.pick("Variants at once", "Varian langsung"), fmt.Sprintf(t.pick("for %s, by %s, while active; block only after approval", "untuk %s, oleh %s, selama aktif; memblokir hanya setelah disetujui"), t.action(g.Variants.AtOnce), t.kinds(g.Variants.Kinds)))
	}
	add(t.pick("Expires", "Kedaluwarsa"), fmt.Sprintf(t.pick("%s after approval, unless renewed", "%s setelah disetujui, kecuali diperpanjang"), g.Expires.In(t.tag())))
	return s
}

func (t tongue) describeClocks(d *Definition) Section {
	s := Section{ID: "clocks", Title: t.pick("Clocks", "Tenggat")}
	for _, c := range d.Clocks {
		text := fmt.Sprintf(t.pick("within %s of %s, by %s", "dalam %s sejak %s, oleh %s"), c.Due.In(t.tag()), t.starts(c.Starts), t.who(c.By))
		if c.Repeats {
			text += t.pick(", again and again", ", berulang")
		}
		it := Item{ID: c.ID, Label: c.Title.In(t.tag()), Text: text}
		switch c.OnExpiry {
		case ExpiryStandDown:
			it.More = append(it.More, t.pick("Otherwise the protocol stands down by itself.", "Jika tidak, protokol berakhir dengan sendirinya."))
		case ExpiryConclude:
			it.More = append(it.More, t.pick("Otherwise it is concluded by itself, and what nobody renewed expires.", "Jika tidak, protokol ditutup dengan sendirinya, dan yang tidak diperpanjang kedaluwarsa."))
		}
		for _, e := range c.Escalate {
			it.More = append(it.More, fmt.Sprintf(t.pick("After %s: %s.", "Setelah %s: %s."), e.After.In(t.tag()), t.target(e.To)))
		}
		s.Items = append(s.Items, it)
	}
	return s
}

func (t tongue) describeTasks(d *Definition) []Section {
	var out []Section
	for _, state := range States() {
		tasks := d.Tasks.In(state)
		if len(tasks) == 0 {
			continue
		}
		s := Section{ID: "tasks." + string(state), Title: fmt.Sprintf(t.pick("Tasks while %s", "Tugas saat %s"), state.Words(t.tag()))}
		for _, k := range tasks {
			who := t.who(k.By)
			if k.Due > 0 {
				who += fmt.Sprintf(t.pick(", within %s", ", dalam %s"), k.Due.In(t.tag()))
			}
			s.Items = append(s.Items, Item{ID: k.ID, Label: who, Text: k.Ask.In(t.tag())})
		}
		out = append(out, s)
	}
	return out
}

func (t tongue) describeStandDown(d *Definition) Section {
	s := Section{ID: "stand_down", Title: t.pick("How it ends", "Bagaimana berakhir")}
	for _, q := range d.StandDown.Ask {
		s.Items = append(s.Items, Item{ID: q.ID, Label: t.pick("Before", "Sebelum"), Text: q.Ask.In(t.tag())})
	}
	for _, f := range d.StandDown.After {
		s.Items = append(s.Items, Item{ID: f.ID, Label: t.pick("After", "Sesudah"), Text: f.Ask.In(t.tag())})
	}
	return s
}

func (t tongue) describeAfterAction(d *Definition) Section {
	s := Section{ID: "after_action", Title: fmt.Sprintf(t.pick("What is learned, within %s", "Apa yang dipelajari, dalam %s"), d.AfterAction.Due.In(t.tag()))}
	for _, q := range d.AfterAction.Questions {
		s.Items = append(s.Items, Item{ID: q.ID, Text: q.Ask.In(t.tag())})
	}
	p := d.AfterAction.Publish
	s.Items = append(s.Items, Item{Label: t.pick("Published as", "Diterbitkan sebagai"), Text: fmt.Sprintf(t.pick("TLP:%s by %s", "TLP:%s oleh %s"), strings.ToUpper(string(p.TLP)), t.who(p.By))})
	return s
}

func (t tongue) describeAudiences(d *Definition) Section {
	a := d.Audiences
	return Section{ID: "audiences", Title: t.pick("Who reads what", "Siapa membaca apa"), Items: []Item{
		{Label: t.pick("Partners", "Mitra"), Text: "TLP:" + strings.ToUpper(string(a.Partners))},
		{Label: t.pick("Observers", "Pengamat"), Text: "TLP:" + strings.ToUpper(string(a.Observers))},
		{Label: t.pick("The public", "Publik"), Text: "TLP:" + strings.ToUpper(string(a.Public))},
	}}
}

func (t tongue) describeTemplates(d *Definition) Section {
	return Section{ID: "templates", Title: t.pick("First drafts of what is said", "Rancangan awal pesan"), Items: []Item{
		{Label: t.pick("Activation", "Aktivasi"), Text: d.Templates.Activation.In(t.tag())},
		{Label: t.pick("Update", "Pembaruan"), Text: d.Templates.Update.In(t.tag())},
		{Label: t.pick("Stand-down", "Pengakhiran"), Text: d.Templates.StandDown.In(t.tag())},
	}}
}

// Fill puts values into a template's placeholders. A placeholder without a
// value stays as it is, so that a person sees what is missing.
func Fill(template string, values map[string]string) string {
	pairs := make([]string, 0, 2*len(values))
	for _, k := range sortedKeys(values) {
		if slices.Contains(placeholders(), k) && values[k] != "" {
			pairs = append(pairs, "{"+k+"}", values[k])
		}
	}
	return strings.NewReplacer(pairs...).Replace(template)
}
