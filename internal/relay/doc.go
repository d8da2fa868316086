// Package relay lets the edges of a region hang on one link: it follows a node
// as one, and serves the same feed to them.
//
//	node ═══ one stream a partner ═══ relay ─── stream ─── edge
//	  ▲  (and NATS, if there is one)    │ └──── stream ─── edge …
//	  └──── reports and tallies ◄───────┘
//
// # What it promises
//
//   - It can change nothing. Operations, snapshots and heartbeats are the
//     node's, as they were signed. A relay signs greetings alone, with a key that
//     the node certifies for a day; edges count their feed as fresh by the
//     node's heartbeats, so that one behind a relay that lost its link knows.
//   - What it was sent is checked and synced to disk before edges get it. After
//     a kill it goes on from there, and so do they.
//   - An edge's token works at the relay that its partner made a token for, and
//     ends there within a second of its end at the node. While the link is down
//     the last list that the node signed counts, each token until its own end;
//     one made meanwhile is not known yet.
//   - A report of an edge reaches the node later, the newest of each; a batch of
//     tallies is answered by the node itself, so that it is counted once.
//
// # What it does not do
//
// It holds back what it is sent if whoever runs it wants that, until heartbeats
// are missed; and it sees the tokens of the edges that it serves, as the node
// does. So a partner decides by whom it is served: it makes the relay's token.
package relay
