// Package incident keeps incidents: what was notified, how it was assessed,
// the activations of protocols on it, who has acknowledged, what was told to
// whom, and the assets that it is about.
//
// The rules are those of package protocol: this package loads the state, asks
// a pure step function what follows, appends an entry for each event, and lets
// signals follow in the same transaction. An activation keeps the definition
// that it began with: its file is recorded in the journal at the proposal.
//
// Time acts through Clock, a durable job that each entry enqueues for the next
// moment at which something is due; it appends what became due since, at the
// instants at which it was due, and does nothing twice. Tick finds what has no
// job.
package incident
