package incident

import (
	"maps"
	"strings"

	"golang.org/x/text/language"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Folds returns the folds of incidents and of recorded definitions.
func Folds() []journal.Fold {
	return []journal.Fold{journal.FoldOf(KindIncident, apply, keys), foldDefinition(), foldVersion()}
}

func keys(i *Incident) journal.Keys {
	k := journal.Keys{
		State: string(i.Status.Phase), Partner: i.Notified.Partner,
		Sort: i.Notified.At.UTC().Format("2006-01-02T15:04:05.000"),
		Text: strings.ToLower(i.ID + " " + i.Title + " " + i.Where),
	}
	for _, st := range i.Statements {
		if st.Settled == "" {
			k.DueMS = 1
		}
	}
	for _, a := range i.Activations {
		if a.State.Running() || a.State == protocol.Concluded {
			k.DueMS = 1 // Tick looks at it; what is due when depends on the definition
		}
	}
	return k
}

var activationEvents = func() map[string]bool {
	m := make(map[string]bool)
	for _, t := range protocol.EventTypes() {
		m[t] = true
	}
	return m
}()

func apply(i *Incident, e journal.Entry) error {
	act := Act{Partner: e.Partner, Member: e.Member, At: e.At, Entry: e.Number}
	if i.ID == "" {
		i.ID = e.About[0].ID
	}
	switch {
	case e.Type == protocol.EvNotified:
		var n notified
		if err := e.Decode(&n); err != nil {
			return err
		}
		*i = Incident{
			ID: e.About[0].ID, Title: n.Title, Description: n.Description, Where: n.Where, Country: n.Country, SeenAt: n.SeenAt,
			URLs: n.URLs, Live: n.Live, MoreExpected: n.MoreExpected, Exercise: e.Exercise, Audience: e.Audience,
			Notified: act, Called: n.Called, Acks: map[string]Act{e.Partner: act},
		}
		ev := n.Event
		ev.Type = e.Type
		if e.Erased { // what was written is gone; that it was notified stays
			ev.At = e.At
		}
		i.Status = protocol.ApplyIncident(i.Status, ev)
	case strings.HasPrefix(e.Type, "incident."):
		if e.Type == "incident.acknowledged" {
			if i.Acks == nil {
				i.Acks = map[string]Act{}
			}
			if _, ok := i.Acks[e.Partner]; !ok {
				i.Acks[e.Partner] = act
			}
			if i.Threat.waits(e.Partner) {
				acks := maps.Clone(i.Threat.Acks)
				if acks == nil {
					acks = map[string]Act{}
				}
				acks[e.Partner] = act
				i.Threat.Acks = acks
			}
			break
		}
		var body threatened
		if err := e.Decode(&body); err != nil {
			return err
		}
		ev := body.IncidentEvent
		ev.Type = e.Type
		if e.Type == protocol.EvThreatToLife {
			i.Threat = Threat{At: e.At, Told: body.Told}
		}
		i.Status = protocol.ApplyIncident(i.Status, ev)
	case activationEvents[e.Type]:
		var ev protocol.Event
		if err := e.Decode(&ev); err != nil {
			return err
		}
		if ev.Protocol == "" {
			return nil // erased: the later states say what came of it
		}
		ev.Type = e.Type
		if i.Activations == nil {
			i.Activations = map[string]protocol.Activation{}
		}
		i.Activations = maps.Clone(i.Activations)
		i.Activations[ev.Protocol] = protocol.Apply(i.Activations[ev.Protocol], ev)
	case e.Type == "update.posted":
		var u updated
		if err := e.Decode(&u); err != nil {
			return err
		}
		if e.Erased {
			u = updated{Number: len(i.Updates) + 1, Texts: map[string]string{}}
		}
		up := Update{Number: u.Number, By: act, Name: u.Name, Audience: e.Audience, Texts: u.Texts, Corrects: u.Corrects, Erased: e.Erased}
		if st := i.statementOf(e); st != nil {
			st.Settled, st.Ended, st.Update, st.Texts = partner.RequestConfirmed, act, up.Number, nil // the update has them
			up.By.Partner, up.By.Member, up.Second = st.By.Partner, st.By.Member, act
		}
		i.Updates = append(i.Updates, up)
	case strings.HasPrefix(e.Type, "statement."):
		if err := i.applyStatement(e, act); err != nil {
			return err
		}
	case e.Type == "asset.added":
		var a NewAsset
		if err := e.Decode(&a); err != nil {
			return err
		}
		i.Assets = append(i.Assets, Asset{Number: len(i.Assets) + 1, By: act, Kind: a.Kind, Producer: a.Producer, Where: a.Where, Text: a.Text, SHA256: a.SHA256})
	case e.Type == "question.asked":
		q := asked{Number: len(i.Questions) + 1}
		if err := e.Decode(&q); err != nil {
			return err
		}
		i.Questions = append(i.Questions, Question{Number: q.Number, By: act, To: q.To, Text: q.Text})
	case e.Type == "question.answered":
		var a answered
		if err := e.Decode(&a); err != nil {
			return err
		}
		for n := range i.Questions {
			if q := &i.Questions[n]; q.Number == a.Number {
				q.Answers = append(q.Answers, Reply{By: act, Text: a.Text})
				q.Settled = q.Settled || a.Settles
			}
		}
	case e.Type == "handover.offered":
		o := offered{Number: len(i.Offers) + 1}
		if err := e.Decode(&o); err != nil {
			return err
		}
		i.Offers = append(i.Offers, Offer{Number: o.Number, Protocol: o.Protocol, To: o.To, Note: o.Note, Kind: o.Kind, By: act, Ended: e.Erased})
	case e.Type == "handover.accepted" || e.Type == "handover.taken_back":
		var a accepted
		if err := e.Decode(&a); err != nil {
			return err
		}
		for n := range i.Offers {
			if o := &i.Offers[n]; o.Number == a.Number {
				o.Ended = true
				if !a.Back {
					o.Accepted = act
				}
			}
		}
	default:
		return nil // signals and others: they are about the incident and change nothing of it
	}
	i.Last = act
	return nil
}

// iso3 turns a country's two letters into the three that incident numbers
// begin with (ISO 3166-1); "" if it is not known.
func iso3(country string) string {
	if country == "" {
		return ""
	}
	if r, err := language.ParseRegion(country); err == nil && r.ISO3() != "ZZZ" {
		return r.ISO3()
	}
	return "X" + country
}
