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
// The state is the one that all partners see ("everywhere"). Besides it, each
// platform decides for itself ("mine"): it may make a signal active on its own
// edges alone, or suspend there what is active everywhere.
//
// What an active signal does is the least of: the action that was approved,
// what its quality allows (PDQ under 50: review), and what the incident's
// protocols allow at this moment (without an active activation: review). It is
// computed in one place, Signal.effective, and every change of it is an entry
// and an operation of the edge feed in the same transaction.
package signal
