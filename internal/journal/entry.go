package journal

import (
	"encoding/json"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
)

// Entry is one thing that happened. Number and Erased are set by the
// journal; all else by the service that appends it. An entry is never changed.
type Entry struct {
	Number   int64           `json:"-"`                  // position in the journal and index of its leaf, from 0, without gaps
	Type     string          `json:"type"`               // "object.what happened in the past tense", for example "signal.approved"
	At       time.Time       `json:"at"`                 // node's time, UTC, whole milliseconds
	Partner  string          `json:"partner,omitempty"`  // who, as an organisation
	Member   string          `json:"member,omitempty"`   // who, as a person; "" for a machine or the node itself
	Token    string          `json:"token,omitempty"`    // token used, if any
	Under    string          `json:"under,omitempty"`    // authority used, for example "sea-crp@1.0.0 authority.activate"
	Why      string          `json:"why,omitempty"`      // reason given by the person
	About    []Ref           `json:"about"`              // objects concerned, the one that it is mainly about first
	Audience access.Audience `json:"audience"`           // who may see the payload
	Exercise bool            `json:"exercise,omitempty"` // practice: carried by everything that follows from it
	Body     json.RawMessage `json:"body,omitempty"`     // the type's own data

	// Erased: the payload was erased; Member, Token, Under, Why and Body are
	// gone, all else remains.
	Erased bool `json:"-"`
}

// Ref names an object: the kind of its fold and its ID.
type Ref struct {
	Kind string `json:"kind"` // "incident", "signal", "partner", …
	ID   string `json:"id"`
}

// Actor fills in who did it.
func (e Entry) by(a access.Actor) Entry {
	e.Partner, e.Member, e.Token = a.Partner, a.Member, a.Token
	return e
}

// New returns an entry of the given type by the actor with body marshalled,
// about the given objects. It panics if body cannot be marshalled, which is a
// programmer's error.
func New(typ string, by access.Actor, at time.Time, body any, about ...Ref) Entry {
	e := Entry{Type: typ, At: at.UTC().Truncate(time.Millisecond), About: about}.by(by)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			panic("journal: body of " + typ + ": " + err.Error())
		}
		e.Body = b
	}
	return e
}

// Decode reads the body. An erased entry leaves v as it is.
func (e Entry) Decode(v any) error {
	if e.Erased || len(e.Body) == 0 {
		return nil
	}
	return json.Unmarshal(e.Body, v)
}
