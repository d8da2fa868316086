// Package protocol runs crisis response protocols: it reads a protocol's
// definition file, says what the answers of an assessment amount to, and
// steps an incident and its activations from state to state.
//
// It promises to be pure. It reads no clock, stores nothing, sends nothing and
// logs nothing; who acts and when are arguments. Step takes a state, an action,
// an actor and a time and returns events, or a problem that lists what is
// allowed instead. Apply folds an event into a state and needs no definition,
// so a fold gives the same state years later, whatever became of the file.
// Tick returns what time alone has brought about. All functions may be called
// concurrently; a Definition is not changed after Parse.
//
// # An incident
//
//	notified ──assess──► assessing ──open──► open ──close──► closed
//	    └────────────open / close────────────┘ ▲                │
//	                                           └────reopen──────┘
//
// # An activation: one protocol's run on one incident
//
//	         propose                quorum
//	 (none) ─────────► voting ────────────────────► active ◄──────────┐
//	   ▲                │  ▲ │ emergency             ▲  │            │
//	   │ new vote       │  │ └──────► provisional ───┘  │ quorum or   │ renewal
//	   │                │  └──────────────┘   confirmed │ sunset      │ by quorum
//	   │                │     lapsed                    ▼             │
//	declined ◄──────────┘                          standing_down ─────┘
//	   closed without quorum,                            │ conclude, or 24 h
//	   or withdrawn                                      ▼ after a sunset
//	                               reviewed ◄─────── concluded
//
// What holds in every state, for every definition:
//
//   - An activation becomes active by the yes votes of at least two partners,
//     each counted once, whatever its number of members; so never by the
//     proposer's partner alone.
//   - If the protocol may block (signals.at_most is block), those partners are
//     of at least two kinds, and not all of them are governments.
//   - Emergency authority is one partner's. It makes an activation provisional,
//     which allows review and never block, ends by itself, and can be used once
//     until a quorum has activated the protocol.
//   - An activation ends by itself: it has a sunset, and a renewal needs votes.
//   - Time acts at the instant that was due, not when somebody looked: the
//     events of Tick carry that instant, and Step brings the state up to date
//     before it acts. So it does not matter how often, or how late, Tick runs.
package protocol
