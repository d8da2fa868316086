// Package signal keeps signals: fingerprints with meaning.
//
//	            approve                     suspend
//	proposed ────────────► active ─────────────────────► suspended
//	   │  │                 │   ▲                          │   │
//	   │  │ refuse          │   └──────── resume ──────────┘   │
//	   │  ▼                 │        (an approval anew)        │
//	   │ refused            ├── withdraw ──► withdrawn ◄───────┤
//	   └─ withdraw ─────────┘── time over ─► expired   ◄───────┘
//
// A variant of a group may be released: active for review before anybody
// approved it, where the protocol says so (Signal.AtOnce). It can be approved,
// refused, suspended or withdrawn from there.
//
// Signals of one asset form a Group: the first one proposed and its variants.
// A decision about a group is taken for each of its signals, under the rules
// for one, in one transaction.
//
// The state is the one that all partners see ("everywhere"). Besides it, each
// platform decides for itself ("mine"): it may make a signal active on its own
// edges alone, or suspend there what is active everywhere.
//
// What an active signal does is the least of: the action that was approved,
// what its quality allows (PDQ under 50 or not stated: review), and what the incident's
// protocols allow at this moment (without an active activation: review). It is
// computed in one place, Signal.effective, and every change of it is an entry
// and an operation of the edge feed in the same transaction.
package signal
