package protocol

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

var versionPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})$`)

// modelled is the standing of a file that nobody adopted.
const modelled = "modelled on public descriptions"

func (r *reader) definition(root *yaml.Node) *Definition {
	o := r.object(root, "",
		"id", "version", "title", "summary", "status", "sources", "scope", "criteria", "levels", "authority",
		"signals", "clocks", "tasks", "audiences", "stand_down", "after_action", "templates")
	d := &Definition{ID: o.id("id")}
	if s, ok := r.scalar(o.need("version", "add version: 1.0.0"), "version", "write three numbers: 1.0.0"); ok {
		if !versionPattern.MatchString(s) {
			r.add(o.fields["version"], "version", "write three numbers: 1.0.0", "%q is not a version", clip(s))
		}
		d.Version = s
	}
	d.Title = o.text("title", true)
	d.Summary = o.text("summary", false)
	d.Status = r.status(o)
	for i, n := range r.list(o.fields["sources"], "sources", "write a list of addresses or titles") {
		if s, ok := r.scalar(n, fmt.Sprintf("sources[%d]", i), "write an address or a title"); ok {
			d.Sources = append(d.Sources, s)
		}
	}
	sc := r.object(o.need("scope", "add scope: {asset_kinds: […], abuse: […]}"), "scope", "asset_kinds", "abuse")
	d.Scope.AssetKinds = r.choices(sc.need("asset_kinds", "add it: kinds of content"), "scope.asset_kinds", assetKinds())
	d.Scope.Abuse = r.choices(sc.need("abuse", "add it: labels of abuse"), "scope.abuse", abuseLabels())
	r.criteria(d, o)
	r.levels(d, o)
	r.authorities(d, o)
	r.signals(d, o)
	r.clocks(d, o)
	r.tasks(d, o)
	r.audiences(d, o)
	r.standDown(d, o)
	r.afterAction(d, o)
	t := r.object(o.need("templates", "add templates: {activation: …, update: …, stand_down: …}"), "templates", "activation", "update", "stand_down")
	d.Templates = Templates{Activation: t.text("activation", true), Update: t.text("update", true), StandDown: t.text("stand_down", true)}
	return d
}

func (r *reader) status(o object) Status {
	const fix = "write \"" + modelled + "\", or {adopted: {by: …, on: 2026-01-31, link: …}}"
	n := o.need("status", fix)
	if n == nil {
		return Status{}
	}
	if n.Kind == yaml.MappingNode {
		a := r.object(r.object(n, "status", "adopted").need("adopted", fix), "status.adopted", "by", "on", "link")
		st := Status{}
		st.By, _ = r.scalar(a.need("by", "say who adopted it"), "status.adopted.by", "say who adopted it")
		on, ok := r.scalar(a.need("on", "say when: 2026-01-31"), "status.adopted.on", "write a date: 2026-01-31")
		if _, err := time.Parse(time.DateOnly, on); ok && err != nil {
			r.add(a.fields["on"], "status.adopted.on", "write a date: 2026-01-31", "%q is not a date", clip(on))
		}
		st.On = on
		link, ok := r.scalar(a.fields["link"], "status.adopted.link", "write the address where it can be read")
		if ok && !strings.HasPrefix(link, "https://") {
			r.add(a.fields["link"], "status.adopted.link", "write an address that begins with https://", "%q is not an address", clip(link))
		}
		st.Link = link
		return st
	}
	s, ok := r.scalar(n, "status", fix)
	if ok && s != modelled {
		r.add(n, "status", fix, "%q is not a standing", clip(s))
	}
	return Status{Modelled: true}
}

func (r *reader) criteria(d *Definition, o object) {
	for i, n := range r.list(o.need("criteria", "add the questions of the assessment"), "criteria", "write a list of {id: …, ask: …, answer: …}") {
		path := fmt.Sprintf("criteria[%d]", i)
		c := r.object(n, path, "id", "ask", "help", "answer")
		cr := Criterion{ID: c.id("id"), Ask: c.text("ask", true), Help: c.text("help", false)}
		r.unique(c.fields["id"], path+".id", cr.ID, &r.ids)
		const fix = "write yes_no_unknown or {choice: [{id: …, title: …}, …]}"
		switch a := c.need("answer", fix); {
		case a == nil:
		case a.Kind == yaml.MappingNode:
			cr.Choices = r.answerChoices(r.object(a, path+".answer", "choice"), cr.ID)
		default:
			if s, ok := r.scalar(a, path+".answer", fix); ok && s != "yes_no_unknown" {
				r.add(a, path+".answer", fix, "%q is not a kind of answer", clip(s))
			}
		}
		d.Criteria = append(d.Criteria, cr)
	}
}

// answerChoices reads {choice: […]}; an item is {id, title} or, for short, an
// identifier, which is then shown as it is.
func (r *reader) answerChoices(o object, criterion string) []Choice {
	var out []Choice
	var ids []string
	items := r.list(o.need("choice", "add choice: [{id: …, title: …}, …]"), join(o.path, "choice"), "write a list of {id: …, title: …}")
	for i, n := range items {
		path := fmt.Sprintf("%s.choice[%d]", o.path, i)
		var ch Choice
		if n.Kind == yaml.ScalarNode {
			ch.ID, _ = r.scalar(n, path, "write an identifier")
			if !idPattern.MatchString(ch.ID) || len(ch.ID) > maxID {
				r.add(n, path, "use lower-case letters, digits and _", "%q is not an identifier", clip(ch.ID))
			}
			words := strings.ReplaceAll(ch.ID, "_", " ")
			ch.Title = Text{"en": words, "id": words}
		} else {
			c := r.object(n, path, "id", "title")
			ch = Choice{ID: c.id("id"), Title: c.text("title", true)}
		}
		if ch.ID == string(Unknown) {
			r.add(n, path, "remove it", "unknown is always an answer")
		}
		r.unique(n, path, ch.ID, &ids)
		out = append(out, ch)
	}
	if len(items) == 1 {
		r.add(items[0], o.path+".choice", "add another, or use yes_no_unknown", "one choice is not a question")
	}
	if criterion != ThreatCriterion {
		return out
	}
	for _, t := range ThreatsToLife() {
		if !slices.Contains(ids, string(t)) {
			r.add(o.node, o.path, "use none, low, medium, high_unspecific and high_specific", "%s must offer %s", ThreatCriterion, t)
		}
	}
	return out
}

func (r *reader) levels(d *Definition, o object) {
	for i, n := range r.list(o.need("levels", "add levels, from the lowest to the highest"), "levels", "write a list of {id: …, title: …, when: …}") {
		path := fmt.Sprintf("levels[%d]", i)
		l := r.object(n, path, "id", "title", "when")
		lv := Level{ID: l.id("id"), Title: l.text("title", true)}
		r.unique(l.fields["id"], path+".id", lv.ID, &r.ids)
		if w := l.need("when", "add when: {all: […], any: […]}"); w != nil {
			lv.When = r.condition(d, w, path+".when")
		}
		d.Levels = append(d.Levels, lv)
	}
}

// condition reads {all: […], any: […], none: […]}, a criterion's id (it is
// answered with yes), or {criterion: answer} or {criterion: [answers]}.
func (r *reader) condition(d *Definition, n *yaml.Node, path string) Condition {
	names := append([]string{"all", "any", "none"}, criterionIDs(d)...)
	switch n.Kind {
	case yaml.ScalarNode:
		id := r.choice(n, path, criterionIDs(d))
		if id == "" {
			return Condition{}
		}
		if c, _ := d.Criterion(id); len(c.Choices) > 0 {
			r.add(n, path, fmt.Sprintf("say which: {%s: [%s]}", id, c.Choices[0].ID), "%s is not answered with yes or no", id)
		}
		return Condition{Criterion: id, Is: []string{string(Yes)}}
	case yaml.MappingNode:
	default:
		r.add(n, path, "write all: […], any: […], none: […], or a criterion", "%s is not a condition", r.kind(n))
		return Condition{}
	}
	o := r.object(n, path, names...)
	var c Condition
	for _, part := range []struct {
		key string
		to  *[]Condition
	}{{"all", &c.All}, {"any", &c.Any}, {"none", &c.None}} {
		items := r.list(o.fields[part.key], join(path, part.key), "write a list of conditions")
		for i, x := range items {
			*part.to = append(*part.to, r.condition(d, x, fmt.Sprintf("%s.%s[%d]", path, part.key, i)))
		}
		if f := o.fields[part.key]; f != nil && f.Kind == yaml.SequenceNode && len(items) == 0 {
			r.add(f, join(path, part.key), "name at least one condition, or remove it", "the list is empty")
		}
	}
	for _, cr := range d.Criteria {
		if v := o.fields[cr.ID]; v != nil {
			c.All = append(c.All, r.answerIs(cr, v, join(path, cr.ID)))
		}
	}
	if len(n.Content) == 0 {
		r.add(n, path, "write all: […] or any: […]", "the condition is empty")
	}
	if len(c.All) == 1 && len(c.Any) == 0 && len(c.None) == 0 {
		return c.All[0]
	}
	return c
}

func (r *reader) answerIs(cr Criterion, n *yaml.Node, path string) Condition {
	values := cr.Values()
	values = values[:len(values)-1] // what is unknown is never a reason
	c := Condition{Criterion: cr.ID}
	if n.Kind == yaml.ScalarNode {
		c.Is = []string{r.choice(n, path, values)}
		return c
	}
	c.Is = r.choices(n, path, values)
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		r.add(n, path, "name at least one answer", "the list is empty")
	}
	return c
}

func (r *reader) authorities(d *Definition, o object) {
	a := r.object(o.need("authority", "add authority: {notify: …, activate: …}"), "authority", "notify", "activate", "emergency", "stand_down", "renew")
	any := r.object(a.need("notify", "add notify: {any: {kinds: […]}}"), "authority.notify", "any")
	d.Authority.Notify.Kinds = r.object(any.need("any", "write any: {kinds: […]}"), "authority.notify.any", "kinds").kinds("kinds", true)
	d.Authority.Activate = r.rule(a.need("activate", "add activate: {quorum: 2, kinds: […], vote_open: 30m}"), "authority.activate")
	d.Authority.Renew, d.Authority.StandDown = d.Authority.Activate, d.Authority.Activate
	if n := a.fields["renew"]; n != nil {
		d.Authority.Renew = r.rule(n, "authority.renew")
	}
	if n := a.fields["stand_down"]; n != nil {
		d.Authority.StandDown = r.rule(n, "authority.stand_down")
	}
	if n := a.fields["emergency"]; n != nil {
		const path = "authority.emergency"
		e := r.object(n, path, "quorum", "kinds", "action", "confirm_within")
		em := &Emergency{Kinds: e.kinds("kinds", true), ConfirmWithin: e.duration("confirm_within", true)}
		if e.fields["quorum"] != nil && e.number("quorum") > 1 {
			r.add(e.fields["quorum"], path+".quorum", "write quorum: 1, or use activate", "emergency authority is one partner's")
		}
		if act := r.choice(e.fields["action"], path+".action", signalActionNames()); act != "" && act != string(Review) {
			r.add(e.fields["action"], path+".action", "write action: review", "emergency authority never allows %s", act)
		}
		d.Authority.Emergency = em
	}
}

func (r *reader) rule(n *yaml.Node, path string) Rule {
	o := r.object(n, path, "quorum", "kinds", "at_least", "vote_open")
	rule := Rule{Quorum: o.number("quorum"), Kinds: o.kinds("kinds", true), VoteOpen: o.duration("vote_open", false)}
	if o.fields["vote_open"] == nil {
		rule.VoteOpen = Duration(30 * time.Minute)
	}
	if n := o.fields["at_least"]; n != nil {
		al := r.object(n, path+".at_least", kindNames()...)
		rule.AtLeast = map[access.PartnerKind]int{}
		for _, k := range kindNames() {
			if al.fields[k] != nil {
				rule.AtLeast[access.PartnerKind(k)] = al.number(k)
			}
		}
	}
	return rule
}

func signalActionNames() []string {
	var out []string
	for _, a := range SignalActions() {
		out = append(out, string(a))
	}
	return out
}

func (r *reader) signals(d *Definition, o object) {
	s := r.object(o.need("signals", "add signals: {propose: …, approve: …, default_action: …, expires: 30d}"), "signals",
		"propose", "approve", "default_action", "at_most", "expires", "variants")
	d.Signals.Propose = r.object(s.need("propose", "add propose: {kinds: […]}"), "signals.propose", "kinds").kinds("kinds", true)
	a := r.object(s.need("approve", "add approve: {quorum: 1, kinds: […], other_partner_than_proposer: true}"), "signals.approve",
		"quorum", "kinds", "other_partner_than_proposer")
	d.Signals.Approve = Approve{Quorum: a.number("quorum"), Kinds: a.kinds("kinds", false), OtherPartner: a.boolean("other_partner_than_proposer")}
	if len(d.Signals.Approve.Kinds) == 0 {
		d.Signals.Approve.Kinds = d.Authority.Activate.Kinds
	}
	d.Signals.AtMost = Block
	if n := s.fields["at_most"]; n != nil {
		d.Signals.AtMost = SignalAction(r.choice(n, "signals.at_most", []string{string(Block), string(Review)}))
	}
	var producers []string
	for _, p := range Producers() {
		producers = append(producers, string(p))
	}
	act := r.object(s.need("default_action", "add default_action: {perpetrator: block, …}"), "signals.default_action", producers...)
	d.Signals.DefaultAction = map[Producer]SignalAction{}
	for _, p := range producers {
		d.Signals.DefaultAction[Producer(p)] = SignalAction(act.needChoice(p, signalActionNames()))
	}
	d.Signals.Expires = s.duration("expires", true)
	if n := s.fields["variants"]; n != nil {
		r.variants(d, n)
	}
}

func (r *reader) variants(d *Definition, n *yaml.Node) {
	v := r.object(n, "signals.variants", "at_once", "kinds")
	at := v.need("at_once", "add at_once: never, or review")
	switch {
	case at == nil:
	case at.Value == string(Block):
		r.add(at, "signals.variants.at_once", "write review; it blocks as soon as another partner approved it", "a variant cannot block before another partner has approved it")
	case r.choice(at, "signals.variants.at_once", []string{"never", string(Review)}) == string(Review):
		d.Signals.Variants = Variants{AtOnce: Review, Kinds: v.kinds("kinds", true)}
		for _, k := range d.Signals.Variants.Kinds {
			if !slices.Contains(d.Signals.Propose, k) {
				r.add(v.fields["kinds"], "signals.variants.kinds", "add it to signals.propose.kinds, or take it out here", "%s may not propose signals", k)
			}
		}
	}
}

func (r *reader) clocks(d *Definition, o object) {
	for i, n := range r.list(o.need("clocks", "add the clocks; one of them is the sunset"), "clocks", "write a list of {id: …, starts: …, due: …, by: …}") {
		path := fmt.Sprintf("clocks[%d]", i)
		c := r.object(n, path, "id", "title", "starts", "due", "by", "met_by", "repeats", "escalate", "on_expiry")
		ck := Clock{
			ID: c.id("id"), Title: c.text("title", true), Starts: c.needChoice("starts", clockStarts()),
			Due: c.duration("due", true), By: c.who("by"), Repeats: c.boolean("repeats"),
		}
		r.unique(c.fields["id"], path+".id", ck.ID, &r.ids)
		if x := c.fields["on_expiry"]; x != nil {
			ck.OnExpiry = r.choice(x, path+".on_expiry", []string{ExpiryStandDown, ExpiryConclude})
		}
		switch {
		case c.fields["met_by"] != nil:
			ck.MetBy = r.choice(c.fields["met_by"], path+".met_by", metByValues())
		case ck.OnExpiry == ExpiryStandDown:
			ck.MetBy = ByRenewal
		case ck.OnExpiry == ExpiryConclude:
			ck.MetBy = ByConclusion
		case ck.Starts == AtLastUpdate:
			ck.MetBy = ByUpdate
		case ck.By.Role == EveryPartner:
			ck.MetBy = ByAcknowledgement
		default:
			ck.MetBy = ByReport
		}
		for j, x := range r.list(c.fields["escalate"], path+".escalate", "write a list of {after: …, to: …}") {
			at := fmt.Sprintf("%s.escalate[%d]", path, j)
			e := r.object(x, at, "after", "to")
			ck.Escalate = append(ck.Escalate, Escalation{After: e.duration("after", true), To: e.needChoice("to", escalationTargets())})
		}
		d.Clocks = append(d.Clocks, ck)
	}
}

func (r *reader) tasks(d *Definition, o object) {
	const fix = "write phases with their tasks: {active: [{id: …, by: …, ask: …}]}"
	t := r.object(o.need("tasks", fix), "tasks", "voting", "provisional", "active", "standing_down", "concluded")
	for _, phase := range []struct {
		key string
		to  *[]Task
	}{
		{"voting", &d.Tasks.Voting},
		{"provisional", &d.Tasks.Provisional},
		{"active", &d.Tasks.Active},
		{"standing_down", &d.Tasks.StandingDown},
		{"concluded", &d.Tasks.Concluded},
	} {
		for i, n := range r.list(t.fields[phase.key], "tasks."+phase.key, "write a list of {id: …, by: …, ask: …}") {
			path := fmt.Sprintf("tasks.%s[%d]", phase.key, i)
			x := r.object(n, path, "id", "by", "ask", "due")
			task := Task{ID: x.id("id"), By: x.who("by"), Ask: x.text("ask", true), Due: x.duration("due", false)}
			r.unique(x.fields["id"], path+".id", task.ID, &r.ids)
			*phase.to = append(*phase.to, task)
		}
	}
}

func (r *reader) audiences(d *Definition, o object) {
	var tlps []string
	for _, t := range access.TLPs() {
		tlps = append(tlps, string(t))
	}
	a := r.object(o.need("audiences", "add audiences: {partners: {tlp: amber}, observers: {tlp: green}, public: {tlp: clear}}"), "audiences", "partners", "observers", "public")
	for _, x := range []struct {
		key string
		to  *access.TLP
	}{{"partners", &d.Audiences.Partners}, {"observers", &d.Audiences.Observers}, {"public", &d.Audiences.Public}} {
		*x.to = access.TLP(r.object(a.need(x.key, "add "+x.key+": {tlp: …}"), "audiences."+x.key, "tlp").needChoice("tlp", tlps))
	}
}

// builtinQuestions are the words of stand-down conditions and steps that a
// definition may name without saying them again.
var builtinQuestions = map[string]Text{
	"volume_fell": {
		"en": "Has the number of copies clearly fallen?",
		"id": "Apakah jumlah salinan sudah jelas menurun?",
	},
	"no_new_variants_for": {
		"en": "Have no new variants been seen for {for}?",
		"id": "Apakah tidak ada varian baru yang terlihat selama {for}?",
	},
}

var builtinFollowUps = map[string]Text{
	"withdraw_or_renew_signals": {
		"en": "For each signal of this incident: renew it with a reason and an end, or withdraw it.",
		"id": "Untuk setiap sinyal insiden ini: perpanjang dengan alasan dan batas waktu, atau tarik.",
	},
	"thank_partners": {
		"en": "Thank the partners, and say when the after-action review begins.",
		"id": "Ucapkan terima kasih kepada para mitra, dan sampaikan kapan tinjauan pascatindakan dimulai.",
	},
}

func (r *reader) standDown(d *Definition, o object) {
	s := r.object(o.need("stand_down", "add stand_down: {ask: […], after: […]}"), "stand_down", "ask", "after")
	var ids []string
	for i, n := range r.list(s.need("ask", "add ask: [volume_fell, …]"), "stand_down.ask", "write a list of conditions") {
		path := fmt.Sprintf("stand_down.ask[%d]", i)
		q := r.question(n, path)
		r.unique(n, path, q.ID, &ids)
		d.StandDown.Ask = append(d.StandDown.Ask, q)
	}
	for i, n := range r.list(s.need("after", "add after: [withdraw_or_renew_signals, …]"), "stand_down.after", "write a list of steps") {
		path := fmt.Sprintf("stand_down.after[%d]", i)
		var f FollowUp
		if n.Kind == yaml.MappingNode {
			x := r.object(n, path, "id", "ask")
			f = FollowUp{ID: x.id("id"), Ask: x.text("ask", true)}
		} else {
			f.ID = r.choice(n, path, sortedKeys(builtinFollowUps))
			f.Ask = builtinFollowUps[f.ID]
		}
		r.unique(n, path, f.ID, &r.ids)
		d.StandDown.After = append(d.StandDown.After, f)
	}
}

// question reads {id, ask, for}, a known condition, or {known condition: 6h}.
func (r *reader) question(n *yaml.Node, path string) Question {
	known := sortedKeys(builtinQuestions)
	if n.Kind != yaml.MappingNode {
		id := r.choice(n, path, known)
		if id == "no_new_variants_for" {
			r.add(n, path, "say for how long: no_new_variants_for: 6h", "%s needs a duration", id)
		}
		return Question{ID: id, Ask: builtinQuestions[id]}
	}
	if len(n.Content) == 2 && n.Content[0].Value != "id" {
		id := r.choice(n.Content[0], path, known)
		if id == "" {
			return Question{}
		}
		q := Question{ID: id, For: r.duration(n.Content[1], join(path, id))}
		q.Ask = q.fill(builtinQuestions[id])
		return q
	}
	o := r.object(n, path, "id", "ask", "for")
	q := Question{ID: o.id("id"), Ask: o.text("ask", true), For: o.duration("for", false)}
	q.Ask = q.fill(q.Ask)
	return q
}

// fill puts the duration into the words.
func (q Question) fill(t Text) Text {
	out := Text{}
	for lang, s := range t {
		out[lang] = strings.ReplaceAll(s, "{for}", q.For.In(lang))
	}
	return out
}

func (r *reader) afterAction(d *Definition, o object) {
	a := r.object(o.need("after_action", "add after_action: {due: 14d, questions: […], publish: …}"), "after_action", "due", "questions", "publish")
	d.AfterAction.Due = a.duration("due", true)
	var ids []string
	for i, n := range r.list(a.need("questions", "add questions: [{id: …, ask: …}]"), "after_action.questions", "write a list of {id: …, ask: …}") {
		path := fmt.Sprintf("after_action.questions[%d]", i)
		x := r.object(n, path, "id", "ask")
		q := Question{ID: x.id("id"), Ask: x.text("ask", true)}
		r.unique(n, path, q.ID, &ids)
		d.AfterAction.Questions = append(d.AfterAction.Questions, q)
	}
	p := r.object(a.need("publish", "add publish: {tlp: clear, by: authority}"), "after_action.publish", "tlp", "by")
	var tlps []string
	for _, t := range access.TLPs() {
		tlps = append(tlps, string(t))
	}
	d.AfterAction.Publish = Publish{TLP: access.TLP(p.needChoice("tlp", tlps)), By: p.who("by")}
}

// check looks at what the parts say together.
func (r *reader) check(d *Definition) {
	at := func(path string) *yaml.Node { return r.where[path] }
	if len(d.Criteria) == 0 && at("criteria") != nil {
		r.add(at("criteria"), "criteria", "add at least one question", "an assessment needs questions")
	}
	if len(d.Levels) == 0 && at("levels") != nil {
		r.add(at("levels"), "levels", "add at least one level", "an activation needs a level")
	}
	r.checkUsed(d)
	r.checkRule(d, "authority.activate", d.Authority.Activate, true)
	if at("authority.renew") != nil {
		r.checkRule(d, "authority.renew", d.Authority.Renew, true)
	}
	if at("authority.stand_down") != nil {
		r.checkRule(d, "authority.stand_down", d.Authority.StandDown, false)
	}
	if e := d.Authority.Emergency; e != nil {
		r.checkVoters("authority.emergency", e.Kinds)
	}
	if e := d.Authority.Emergency; e != nil && e.ConfirmWithin > Duration(24*time.Hour) {
		r.add(at("authority.emergency.confirm_within"), "authority.emergency.confirm_within", "write at most 24h",
			"%s is too long for one partner's authority", e.ConfirmWithin)
	}
	for _, p := range Producers() {
		if act := d.Signals.DefaultAction[p]; act != "" && d.Signals.AtMost != "" && Least(act, d.Signals.AtMost) != act {
			path := "signals.default_action." + string(p)
			r.add(at(path), path, "write "+string(d.Signals.AtMost), "%s is more than signals.at_most allows", act)
		}
	}
	if d.MayBlock() && at("signals.approve") != nil && !d.Signals.Approve.OtherPartner {
		r.add(at("signals.approve"), "signals.approve", "add other_partner_than_proposer: true, or set signals.at_most: review",
			"a signal that blocks for others needs another partner's approval")
	}
	r.checkClocks(d)
	r.checkAudiences(d)
	for _, t := range []struct {
		path string
		text Text
	}{{"templates.activation", d.Templates.Activation}, {"templates.update", d.Templates.Update}, {"templates.stand_down", d.Templates.StandDown}} {
		r.checkTemplate(t.path, t.text)
	}
}

var placeholderPattern = regexp.MustCompile(`\{([^{}]*)\}`)

func (r *reader) checkTemplate(path string, t Text) {
	for _, lang := range sortedKeys(t) {
		for _, m := range placeholderPattern.FindAllStringSubmatch(t[lang], -1) {
			if slices.Contains(placeholders(), m[1]) {
				continue
			}
			fix := "use one of {" + strings.Join(placeholders(), "}, {") + "}"
			if near, ok := problem.Nearest(m[1], placeholders()); ok {
				fix = "did you mean {" + near + "}?"
			}
			r.add(r.where[path+"."+lang], path+"."+lang, fix, "there is no placeholder {%s}", clip(m[1]))
		}
	}
}

// checkUsed reports criteria on which no level depends, unless they stand for
// themselves: an unused question costs time at the worst moment.
func (r *reader) checkUsed(d *Definition) {
	used := map[string]bool{ThreatCriterion: true}
	var walk func(c Condition)
	walk = func(c Condition) {
		used[c.Criterion] = true
		for _, x := range slices.Concat(c.All, c.Any, c.None) {
			walk(x)
		}
	}
	for _, l := range d.Levels {
		walk(l.When)
	}
	for i, c := range d.Criteria {
		if c.ID != "" && !used[c.ID] && len(d.Levels) > 0 {
			path := fmt.Sprintf("criteria[%d]", i)
			r.add(r.where[path], path, "use it in a level's when, or remove it", "no level depends on %s", c.ID)
		}
	}
}

// checkVoters reports kinds that observe, and so have no vote on powers that
// they are to watch.
func (r *reader) checkVoters(path string, kinds []access.PartnerKind) {
	for i, k := range kinds {
		if k == access.CivilSociety || k == access.Research {
			at := fmt.Sprintf("%s.kinds[%d]", path, i)
			r.add(r.where[at], at, "remove it; such partners notify, propose, do tasks and verify", "%s partners observe and do not vote", k)
		}
	}
}

// checkRule reports a quorum that cannot be reached, or that would give one
// partner, or governments alone, what only several may have.
func (r *reader) checkRule(d *Definition, path string, rule Rule, strict bool) {
	r.checkVoters(path, rule.Kinds)
	node := func(key string) *yaml.Node {
		if n := r.where[path+"."+key]; n != nil {
			return n
		}
		return r.where[path]
	}
	if rule.Quorum == 0 || len(rule.Kinds) == 0 {
		return // reported already
	}
	sum := 0
	for _, k := range access.PartnerKinds() {
		n := rule.AtLeast[k]
		if n > 0 && !slices.Contains(rule.Kinds, k) {
			r.add(node("at_least."+string(k)), path+".at_least."+string(k), "add "+string(k)+" to kinds, or remove it here",
				"%s partners are required and may not vote: the quorum can never be reached", k)
		}
		sum += n
	}
	if sum > rule.Quorum {
		r.add(node("at_least"), path+".at_least", fmt.Sprintf("set quorum: %d, or require fewer", sum),
			"%d partners are required one by one, more than the quorum of %d", sum, rule.Quorum)
	}
	if rule.VoteOpen > Duration(72*time.Hour) {
		r.add(node("vote_open"), path+".vote_open", "write at most 72h", "a vote that stays open for %s is not a decision", rule.VoteOpen)
	}
	if !strict {
		return
	}
	if rule.Quorum < 2 {
		r.add(node("quorum"), path+".quorum", "write quorum: 2 or more; one partner alone has emergency authority",
			"one partner alone may not activate a protocol")
	}
	if !d.MayBlock() {
		return
	}
	const why = "a protocol that may block needs partners of two kinds, not governments alone"
	switch {
	case len(rule.Kinds) < 2:
		r.add(node("kinds"), path+".kinds", "add another kind, or set signals.at_most: review", "%s", why)
	case rule.Quorum >= 2 && slices.ContainsFunc(rule.Kinds, func(k access.PartnerKind) bool { return rule.AtLeast[k] == rule.Quorum }):
		r.add(node("at_least"), path+".at_least", "raise the quorum, or set signals.at_most: review", "%s", why)
	}
}

func (r *reader) checkClocks(d *Definition) {
	sunsets := 0
	for i, c := range d.Clocks {
		path := fmt.Sprintf("clocks[%d]", i)
		at := func(key string) *yaml.Node {
			if n := r.where[path+"."+key]; n != nil {
				return n
			}
			return r.where[path]
		}
		if c.Repeats && c.Due > 0 && c.Due.Std() < minRepeat {
			r.add(at("due"), path+".due", "write at least 5m", "a clock that repeats every %s leaves no time to answer", c.Due)
		}
		if c.Repeats && c.OnExpiry != "" {
			r.add(at("repeats"), path+".repeats", "remove repeats or on_expiry", "a clock that ends the phase cannot repeat")
		}
		last := Duration(0)
		for j, e := range c.Escalate {
			where := fmt.Sprintf("escalate[%d].after", j)
			if e.After > 0 && e.After <= last {
				r.add(at(where), path+"."+where, "put the steps in order, each later than the one before", "%s is not after %s", e.After, last)
			}
			if c.Repeats && e.After > c.Due {
				r.add(at(where), path+"."+where, fmt.Sprintf("write at most %s", c.Due), "%s is after the clock has begun again", e.After)
			}
			last = e.After
		}
		switch c.MetBy {
		case ByAcknowledgement, ByVote:
			if c.By.Role == TheLead || c.By.Role == TheAuthority {
				r.add(at("by"), path+".by", "write every_partner or {kinds: […]}", "an %s is each partner's own", map[string]string{ByVote: "answer to a vote", ByAcknowledgement: ByAcknowledgement}[c.MetBy])
			}
			if c.MetBy == ByVote && c.Starts != AtProposed && c.Starts != AtProvisional && c.Starts != "" {
				r.add(at("starts"), path+".starts", "write starts: proposed or starts: provisional", "there is no vote to wait for then")
			}
		}
		switch c.OnExpiry {
		case ExpiryStandDown:
			sunsets++
			if sunsets > 1 {
				r.add(at("on_expiry"), path+".on_expiry", "keep one", "there is a sunset already")
			}
			if c.Starts != AtActivated && c.Starts != "" {
				r.add(at("starts"), path+".starts", "write starts: activated", "the sunset runs from the activation")
			}
			if c.MetBy != ByRenewal && c.MetBy != "" {
				r.add(at("met_by"), path+".met_by", "remove it", "only a renewal meets the sunset")
			}
			if c.By.Role != TheAuthority && r.where[path+".by"] != nil {
				r.add(at("by"), path+".by", "write by: authority", "the end is everybody's: a sunset is the authority's together")
			}
			if c.Due.Std() > maxSunset {
				r.add(at("due"), path+".due", "write at most 30d; a renewal prolongs it", "%s without a new decision is too long", c.Due)
			}
		case ExpiryConclude:
			if c.Starts != AtStandingDown && c.Starts != "" {
				r.add(at("starts"), path+".starts", "write starts: standing_down", "only what stands down can be concluded")
			}
			if c.MetBy != ByConclusion && c.MetBy != "" {
				r.add(at("met_by"), path+".met_by", "remove it", "only the conclusion meets this clock")
			}
			if c.By.Role != TheLead && c.By.Role != TheAuthority && r.where[path+".by"] != nil {
				r.add(at("by"), path+".by", "write by: lead or by: authority", "one conclusion ends it for all")
			}
		}
		if c.ID == afterActionClock {
			r.add(at("id"), path+".id", "remove it, and set after_action.due", "this clock runs by itself")
		}
	}
	if sunsets == 0 && r.where["clocks"] != nil {
		r.add(r.where["clocks"], "clocks", "add {id: sunset, title: …, starts: activated, due: 24h, by: authority, on_expiry: stand_down}",
			"no clock ends the activation by itself")
	}
}

func (r *reader) checkAudiences(d *Definition) {
	a := d.Audiences
	if a.Partners == "" || a.Observers == "" || a.Public == "" {
		return
	}
	if a.Public != access.Clear {
		r.add(r.where["audiences.public.tlp"], "audiences.public.tlp", "write clear", "the public reads TLP:CLEAR only")
	}
	if a.Partners.Wider(a.Observers) {
		r.add(r.where["audiences.observers.tlp"], "audiences.observers.tlp", "write "+string(a.Partners)+" or wider", "what observers may read (%s) is narrower than what partners may (%s)", a.Observers, a.Partners)
	}
}
