// Package feed delivers signals to edges: what an approval adds and a
// withdrawal removes reaches every connected edge, in order, once, as fast one
// way as the other.
//
// A Publisher turns what a service decided into signed operations, in the
// service's own transaction: what the journal says and what edges are told
// cannot differ. A Hub follows the store, encodes each operation once and hands
// the same bytes to every subscriber.
//
//	service ── Publish ──► store (journal entry + operation, one commit)
//	                         │ Committed
//	                        Hub ── one frame an operation ──► 1 … n streams
//	                         ▲                                   │
//	                         └── POST status, tallies ◄── edge ◄─┘
//
// # What it promises
//
//   - Nothing is skipped. A subscriber gets every operation of its chains after
//     its cursor, in order, or it is told to start from a snapshot.
//   - A slow subscriber costs the others nothing. There is no queue for each:
//     all read from one ring of frames; who falls out of it is told "reset" and
//     closed.
//   - Fan-out allocates nothing for a subscriber and an operation.
//   - A stream ends within about a second of its token's end.
//   - A cursor that this history does not know is refused with a reason; the
//     edge, which knows more than the node then, decides what it means.
//
// The wire form is described in docs/format/feed.md and implemented by the
// public package edge.
package feed
