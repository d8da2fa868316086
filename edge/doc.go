// Package edge is the matcher that a platform runs beside its uploads: it
// follows the feed of a Siaga node, keeps the active signals, and answers
// whether a fingerprint matches one of them.
//
// # What it promises
//
//   - Content stays where it is: only signals come in, and only counts go out.
//   - Every signal comes from a signed operation, each operation follows the
//     one before it by number and by hash, and nothing is skipped: a gap, a
//     wrong hash or a wrong signature makes the edge keep its last good state,
//     raise an alarm and ask again.
//   - It never moves back. A position lower than its own is refused, whoever
//     sends it.
//   - A removal takes the same path as an addition and is as fast.
//   - It answers while the node is away, from its own folder, and says how old
//     its knowledge is. Cutting the line cannot prolong a block: signals expire
//     by the edge's own clock, and a signal whose knowledge is older than its
//     max_stale is for review, no longer for blocking.
//   - An exercise's signals answer in a list of their own and never block.
//   - Look-ups allocate nothing and may run concurrently with changes.
//
// # Parts
//
//	Operation, Snapshot, Heartbeat …   the wire form of the feed
//	Matcher                            signals in memory; Apply and Match
//	Follower                           keeps a Matcher up to date with a node
//	Server                             the local HTTP interface of an edge
//
// A platform that is written in Go embeds Matcher and Follower; all others run
// `siaga edge` and speak HTTP with it. docs/format/feed.md describes the wire
// form so that it can be written anew in any language, and
// docs/integrate/edge.md how to put an edge beside an upload path.
//
// # Chains
//
// The feed is made of chains. A chain is one gapless sequence of operations
// for one audience, signed and hash-chained. An edge follows two: "partners",
// which all platforms share, and "partner:ID", which is its platform's own
// (its own signals, signals shared with named partners only, and its local
// suspensions). What the own chain says of a signal wins:
//
//	shared chain        own chain            the edge matches
//	add                 nothing              the shared signal
//	add                 add                  the own chain's
//	add                 remove               nothing: masked
//	add                 remove, then clear   the shared signal
//	remove or nothing   add                  the own chain's
package edge
