// Package health is what a node says of itself to those who watch over it:
// whether it is ready, and how each of its parts is. It names parts and counts;
// it holds no incident's content, no secret and no personal datum.
//
// A value that is not known is absent, never zero.
package health

import (
	"cmp"
	"slices"
	"time"
)

// State says in one word how a part is.
type State string

// The states, best first.
const (
	OK      State = "ok"
	Unknown State = "unknown" // nothing can be said
	Warn    State = "warn"    // works, but someone should look within days
	Fail    State = "fail"    // someone must act now
)

// Part is one part of a node. Name is from the closed list below; Detail is a
// short code for what is wrong, from a closed list too, so that a page can say
// it in the reader's language.
type Part struct {
	Name   Name   `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty" doc:"A word for what is noticed, such as low, silent or never"`

	Count *int64     `json:"count,omitempty"`
	Bytes *int64     `json:"bytes,omitempty"`
	At    *time.Time `json:"at,omitempty" doc:"When it happened last, or when it ends"`
}

// Name names a part.
type Name string

// The parts.
const (
	Writes      Name = "writes"      // the store takes writes; Detail "read_only"
	Disk        Name = "disk"        // Bytes left where the data folder is
	Checkpoint  Name = "checkpoint"  // Count: entries that none covers
	EdgesSilent Name = "edges"       // Count: silent edges
	EdgesBehind Name = "behind"      // Count: edges that are behind; Detail "late": some for half a minute, At: since when
	Feed        Name = "feed"        // Count: chains that stand still, as an operation in the store is damaged; Detail "damaged"
	Bus         Name = "bus"         // NATS between nodes; At: since when
	Jobs        Name = "jobs"        // Count: jobs that are late; Detail "failing"
	Backup      Name = "backup"      // At: the last one; Detail "never", "failed", "old"
	Rehearsal   Name = "rehearsal"   // At: the last one that was restored
	Certificate Name = "certificate" // At: when the one of the public address ends
	Lanes       Name = "lanes"       // Count: requests that wait for a place; Detail "refused": some were, for want of room; At: the last one
	Tokens      Name = "tokens"      // Count: tokens that end within two weeks; At: the first
)

// Names lists all parts. A node without NATS has no Bus, one on http no
// Certificate.
func Names() []Name {
	return []Name{Writes, Disk, Checkpoint, EdgesSilent, EdgesBehind, Feed, Bus, Jobs, Backup, Rehearsal, Certificate, Lanes, Tokens}
}

// Level is the state as a number, for those who compare: 0 ok, 1 unknown, 2 warn,
// 3 fail.
func (s State) Level() int { return len(order) - 1 - order[s] }

// Report is how a node is.
type Report struct {
	Ready   bool      `json:"ready"`
	Reason  string    `json:"reason,omitempty" doc:"Why it is not ready"`
	At      time.Time `json:"at" doc:"When this was found out"`
	Version string    `json:"version"`
	Store   string    `json:"store" enum:"sqlite,postgres"`
	Entries int64     `json:"entries"`
	Parts   []Part    `json:"parts" doc:"Worst first"`
}

var order = map[State]int{Fail: 0, Warn: 1, Unknown: 2, OK: 3}

// Sort puts the worst parts first, otherwise in the order that they were added.
func (r *Report) Sort() {
	slices.SortStableFunc(r.Parts, func(a, b Part) int { return cmp.Compare(order[a.State], order[b.State]) })
}
