// Package problem is the one error type that people and partners see.
//
// A problem says what is wrong in one sentence and what to do next; its Kind
// says which of the few ways out applies. Everything else that goes wrong is
// an ordinary error: it is logged for the operator and shown as "broke on our
// side" with the request's number. The map from Kind to an HTTP status or an
// exit code lives in the transports, not here.
package problem

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what the caller should do.
type Kind string

// The closed list of kinds.
const (
	Invalid     Kind = "invalid"     // change the input
	Denied      Kind = "denied"      // ask for a role
	SignIn      Kind = "sign_in"     // say who you are
	StepUp      Kind = "step_up"     // prove again that it is you
	NotFound    Kind = "not_found"   // check the number; also what one may not see
	Conflict    Kind = "conflict"    // reload: it changed, or is not allowed in this state
	TooLarge    Kind = "too_large"   // send less
	Busy        Kind = "busy"        // too many requests: wait
	Unavailable Kind = "unavailable" // retry later
	Internal    Kind = "internal"    // tell the operator
)

// Error is a problem. Detail and Fix are sentences without a final full stop,
// in lower case unless they begin with a name or a field's label.
type Error struct {
	Kind   Kind
	Detail string        // what is wrong
	Fix    string        // what to do next
	Fields []Field       // for Invalid: every field that is wrong, in the form's order
	Allows []string      // for Conflict: the steps that are allowed instead
	For    string        // for StepUp: the action that the proof is for
	Wait   time.Duration // for Busy and Unavailable: when to come back; 0: soon
	cause  error

	detail, fix Words // what Detail and Fix were made of, for In
}

// Field is one input that is wrong. Name is its JSON name; Detail says what to
// do about it in the label's own words.
type Field struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
	detail Words  // what Detail was made of
}

// Error returns detail and fix on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Detail)
	if e.Fix != "" {
		b.WriteString("; ")
		b.WriteString(e.Fix)
	}
	return b.String()
}

// Unwrap returns the cause, which is for the log only.
func (e *Error) Unwrap() error { return e.cause }

// New returns a problem. Detail may not be empty.
func New(kind Kind, detail, fix string) *Error {
	return &Error{Kind: kind, Detail: detail, Fix: fix} // In takes them as they are
}

// Of is New for sentences that have something in them.
func Of(kind Kind, detail, fix Words) *Error {
	return &Error{Kind: kind, Detail: detail.String(), Fix: fix.String(), detail: detail, fix: fix}
}

// Newf is New with a formatted detail and no fix; add one with WithFix.
func Newf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...), detail: Words{format, args}}
}

// WithFix returns e with another fix.
func (e *Error) WithFix(format string, args ...any) *Error {
	c := *e
	c.Fix, c.fix = fmt.Sprintf(format, args...), Words{format, args}
	return &c
}

// WithWait returns e for a caller who is to come back after d.
func (e *Error) WithWait(d time.Duration) *Error {
	c := *e
	c.Wait = d
	return &c
}

// Because returns e with a cause that errors.Is and the log can see.
func (e *Error) Because(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// KindOf returns the kind of the first problem in err's chain, Internal for
// any other error, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if p, ok := errors.AsType[*Error](err); ok {
		return p.Kind
	}
	return Internal
}

// InvalidFields collects the mistakes of one input and reports all of them.
// The zero value is ready.
type InvalidFields struct{ fields []Field }

// Add notes that the field name is wrong.
func (f *InvalidFields) Add(name, format string, args ...any) {
	f.fields = append(f.fields, Field{Name: name, Detail: fmt.Sprintf(format, args...), detail: Words{format, args}})
}

// Err returns nil if nothing was added.
func (f *InvalidFields) Err() error {
	if len(f.fields) == 0 {
		return nil
	}
	first := f.fields[0]
	e := Newf(Invalid, "%s: %s", first.Name, first.detail)
	if n := len(f.fields); n > 1 {
		e = Newf(Invalid, "%d fields need a change; first %s: %s", n, first.Name, first.detail)
	}
	e.Fix, e.Fields = "correct the fields and send again", f.fields
	return e
}
