// Package duty keeps who answers for a partner at any hour: a weekly pattern of
// shifts, holidays, overrides and hand-overs.
//
// Plan is pure: it answers who is on duty at an instant, who is next, and where
// nobody is. Shifts are times on the wall of the roster's zone: the night from
// 22:00 to 06:00 has seven or nine hours when the clock changes, and shifts that
// follow each other meet in every zone and season.
//
// A roster is one object of its partner, folded from entries: "roster.set"
// replaces the pattern, "override.added" and "override.removed" change one time,
// a hand-over needs two: "shift.offered" by who is on duty, and
// "shift.accepted" by who takes over. Until then the one who offered holds
// it.
//
//	(nobody) ── roster.set ──► pattern ──┬── override.added / removed
//	                                     └── shift.offered ─┬─ accepted ─► override
//	                                                           └─ withdrawn
//
// Gaps are warned of days ahead: Service.Gaps, a line on the board of the
// partner's administrators, and once a day an entry "roster.gap".
package duty

import "errors"

var errClock = errors.New("duty: write a time as 22:00")
