// Package notify tells duty contacts that something is asked of them, and does
// not let go before somebody has acknowledged.
//
// # What is asked
//
// Wanted derives from an incident's state alone who must be told what: a call
// each partner and ask. Reconciling is all that happens on an entry: calls that
// are wanted and not there begin, those that are there and not wanted any more
// end. So an acknowledgement, a vote, a closed incident stop what is queued,
// without a search for queued messages. Nobody is woken for what is over. What
// still waits though its time has passed, because the node was away, is asked
// with a new deadline and is called late, for two hours; after that the incident
// says that nobody was called.
//
// # A call
//
//	            ┌────────── send failed: again, with growing pauses;
//	            ▼           after two failures also the next channel
//	begun ─► person ─► channel ─► sent / delivered ─► acknowledged
//	            ▲                                  └─► passed: the next person
//	            └── a step of the protocol's escalation, a person without a
//	                working channel                ─► exhausted: nobody is left
//	any of these ─► ended, when nothing is asked any more
//
// Order of people: duty.Order. Steps are those of the clock that is waited for
// (next_on_roster, phone, partner_lead), or after 5, 10 and 20 minutes where
// there is none. Everything is an entry ("call.begun", "call.sent",
// "call.failed", "call.acknowledged", …) and the state is folded from them.
// Next is pure; jobs only look again at the time that the state names.
//
// # A message
//
// Number, ask, deadline in UTC and the receiver's time, a link with a one-time
// code; EXERCISE first if so. Never a title, a place, words of a partner,
// content. Web's catalogue has the words; a test measures them against 160
// characters of GSM 03.38, or 70 of UCS-2.
//
// # A channel
//
// E-mail, chat and push services with fixed hosts (shoutrrr), webhooks signed
// after Standard Webhooks, web push. Secrets are sealed with the node's data key
// in private data, are never in an entry, and are never shown again. A nightly
// self-test asks each channel, without a sound, whether it would work.
package notify
