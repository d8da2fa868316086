package notify

import (
	"context"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
)

// MaxGSM and MaxUCS2 are the characters that one short message has room for.
const (
	MaxGSM  = 160
	MaxUCS2 = 70
)

// gsm is the basic alphabet of GSM 03.38; extended characters count twice.
const (
	gsm         = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "^{}\\[~]|€"
)

// Parts returns how many short messages a text takes, and its length in the
// characters that count: septets of GSM 03.38 if that can write it, else
// sixteen-bit units of UCS-2.
func Parts(text string) (parts, length int, isGSM bool) {
	isGSM = true
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsm, r):
			length++
		case strings.ContainsRune(gsmExtended, r):
			length += 2
		default:
			isGSM = false
		}
	}
	one, more := MaxGSM, 153
	if !isGSM {
		length = 0
		for _, r := range text {
			length++
			if r > 0xffff {
				length++
			}
		}
		one, more = MaxUCS2, 67
	}
	if length <= one {
		return 1, length, isGSM
	}
	return (length + more - 1) / more, length, isGSM
}

// location is the zone in which a member reads times.
func location(m partner.Member, p partner.Partner) *time.Location {
	if m.Zone != "" {
		if l, err := time.LoadLocation(m.Zone); err == nil {
			return l
		}
	}
	return p.Location()
}

// Sentence returns the text of a call's message without its link, in a
// language. It has the number, the ask and the deadline, and nothing else.
func Sentence(w Words, lang string, c Call, loc *time.Location) string {
	ask := c.Ask
	if c.Late && ask != AskThreat { // which says enough
		ask = AskOverdue
	}
	id := "msg." + ask
	number := c.Incident
	if c.Exercise {
		if id = "msg.exercise"; ask == AskVote || ask == AskDue || ask == AskOverdue || ask == AskThreat {
			id += "." + ask // it says what is practised
		}
		number = strings.TrimPrefix(number, "EX-")
	}
	return w(lang, id, "Number", number, "UTC", c.Deadline.UTC().Format("15:04"), "Local", c.Deadline.In(loc).Format("15:04"))
}

// compose makes the message to a member, with a link of its own.
func (s *Service) compose(ctx context.Context, c Call, m partner.Member) (note, error) {
	now := s.o.Now()
	var p partner.Partner
	var until time.Time
	word := ""
	code := newCode()
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) (err error) {
		if p, err = partner.Load(tx, c.Partner); err != nil {
			return err
		}
		if _, until, _, err = duty.Order(tx, c.Partner, now); err != nil {
			return err
		}
		if word, err = s.word(tx, m.ID); err != nil {
			return err
		}
		return putCode(tx, code, c, m.ID, now)
	})
	if err != nil {
		return note{}, err
	}
	loc := location(m, p)
	link := s.o.URL() + "/a/" + code
	say := func(id string, args ...any) string { return s.o.Words(m.Language, id, args...) }
	sentence := Sentence(s.o.Words, m.Language, c, loc)
	n := note{
		ID: "msg_" + newID(), Type: "siaga.call", Link: link, Number: c.Incident, Ask: c.Ask, Due: c.Deadline.UTC(), Real: !c.Exercise,
		Subject: sentence, Text: sentence + " " + link,
	}
	if word != "" {
		n.Text += " " + word
	}
	why := say("msg.why", "Partner", p.Name)
	if !until.IsZero() {
		why = say("msg.why_until", "Partner", p.Name, "Until", until.In(loc).Format("15:04"), "Zone", partner.ZoneName(until.In(loc)))
	}
	n.Lines = []string{why, "", say("ask.seen"), say("ask.signin." + c.Ask), say("ask.pass"), link}
	return n, nil
}
