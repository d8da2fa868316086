package edge

import "time"

// Report is what an edge tells its node about itself: after operations were
// stored, and at least with each heartbeat. The cursor in it is on the edge's
// disk: it acknowledges every operation up to it.
type Report struct {
	Version   string    `json:"version"`
	Cursor    Cursor    `json:"cursor"`
	Signals   int       `json:"signals"`
	FeedAgeMS int64     `json:"feed_age_ms"`
	Started   time.Time `json:"started"`
	Queries   int64     `json:"queries"` // since it started
	Matched   int64     `json:"matched"`
	Blocked   int64     `json:"blocked"`
	PerMinute float64   `json:"matches_per_minute"`
	Trips     []Trip    `json:"trips"`
	Alarms    []Alarm   `json:"alarms"`
	Unmatched []string  `json:"unmatched,omitempty"` // kinds that it has signals of and cannot look for
	ClockSkew int64     `json:"clock_skew_ms"`       // its clock minus the node's
	Durable   bool      `json:"durable"`             // false: it has no folder, or cannot write to it
}

// Alarm is something that a person should look at.
type Alarm struct {
	Kind  AlarmKind `json:"kind"`
	Text  string    `json:"text"` // what is wrong; then what to do
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int64     `json:"count"`
}

// AlarmKind says what went wrong.
type AlarmKind string

// The closed list of alarms.
const (
	AlarmRollback  AlarmKind = "rollback"  // the feed is behind what was seen before
	AlarmFork      AlarmKind = "fork"      // the feed shows another history
	AlarmSignature AlarmKind = "signature" // something was not signed by the node
	AlarmGap       AlarmKind = "gap"       // operations were missing, and asked for again
	AlarmStale     AlarmKind = "stale"     // nothing heard for three heartbeats
	AlarmClock     AlarmKind = "clock"     // this machine's clock differs from the node's
	AlarmDisk      AlarmKind = "disk"      // what was received cannot be stored
	AlarmDamaged   AlarmKind = "damaged"   // what was stored cannot be read, and was fetched again
	AlarmToken     AlarmKind = "token"     // the node refuses this edge's token
	AlarmVerdict   AlarmKind = "verdict"   // a verdict names a signal that the node does not have, or there are too many
	AlarmSignal    AlarmKind = "signal"    // a signal that this edge cannot use
	AlarmBreaker   AlarmKind = "breaker"   // the circuit breaker turned a signal to review
	AlarmBlocking  AlarmKind = "blocking"  // an unusual share of all queries is blocked
)

// TallyBatch is how counts are sent. A batch is sent again, with the same ID,
// until it was acknowledged, and counted once.
type TallyBatch struct {
	Batch  string  `json:"batch"`
	Counts []Tally `json:"counts"`
}

// MaxTallyBatch is the greatest number of counts in a batch.
const MaxTallyBatch = 1000
