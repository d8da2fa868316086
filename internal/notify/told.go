package notify

import (
	"fmt"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// tellEnded tells the owner of a channel that has ended, by another channel of
// theirs, and the administrators where there is none.
func tellEnded(tx *journal.Tx, id string, ref journal.Ref, now time.Time) error {
	c, _, err := journal.Load[Channel](tx, KindChannel, ref.ID)
	if err != nil || c.Removed {
		return err
	}
	n := partner.Notice{Kind: NoticeEnded, About: ref, Path: "/messages", Members: []string{c.Member}}
	left, err := channelsOf(tx, c.Partner, c.Member)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return tellPartner(tx, id, c.Partner, n, false, now, c.Member)
	}
	return tellOnce(tx, id, n, now)
}

// together is how long signals of one incident are told of once: whoever opens
// the page sees all of them.
const together = 10 * time.Minute

// tellOfSignal tells the partners whom a signal's entry concerns: of one that
// was withdrawn everywhere, who is on duty where edges had it; of one that waits
// for approval, an approver of each other partner that may see it.
func tellOfSignal(tx *journal.Tx, e journal.Entry, now time.Time) error {
	sig, _, err := journal.Load[signal.Signal](tx, signal.KindSignal, e.About[0].ID)
	if err != nil {
		return err
	}
	n := partner.Notice{Kind: NoticeApproval, About: journal.Ref{Kind: signal.KindSignal, ID: sig.ID}, Path: "/signals?state=proposed", Exercise: sig.Exercise}
	if e.Type == "signal.withdrawn" {
		// On one platform only it concerns nobody else; what never was active reached no edge.
		if sig.State != signal.Withdrawn || sig.Active.IsZero() {
			return nil
		}
		n.Kind, n.Path = NoticeWithdrawn, "/edges"
	} else if sig.State != signal.Proposed { // a variant that went out at once, or decided meanwhile
		return nil
	}
	partners, err := partner.All(tx)
	if err != nil {
		return err
	}
	for _, p := range partners {
		if !sig.Audience.SeenBy(p.ID, p.Kind) || n.Kind == NoticeApproval && p.ID == sig.Proposed.Partner {
			continue
		}
		// Signals come by the hundred: what was told is known at once.
		id := callID("notice", n.Kind, p.ID, sig.Incident, sig.List, now.UTC().Truncate(together).Format(time.RFC3339))
		if _, err := tx.Object(journal.Ref{Kind: KindNotice, ID: id}); problem.KindOf(err) != problem.NotFound {
			if err != nil {
				return err
			}
			continue
		}
		if n.Kind == NoticeWithdrawn {
			if edges, err := hasEdges(tx, p.ID, now); err != nil {
				return err
			} else if !edges {
				continue
			}
		}
		k, members, err := contacts(tx, p.ID, now)
		if err != nil {
			return err
		}
		if n.Members = k.Order[:min(1, len(k.Order))]; n.Kind == NoticeApproval {
			n.Members = approver(k, members)
		} else if slices.Contains(n.Members, e.Member) { // who withdrew it knows
			continue
		}
		if err := tellOnce(tx, id, n, now); err != nil {
			return err
		}
	}
	return nil
}

// tellOfStatement tells who may be the second person of a public statement that
// they are asked: the other officers of its partner or, where there are none,
// the officer on duty of each other partner in the room.
func tellOfStatement(tx *journal.Tx, id string, e journal.Entry, now time.Time) error {
	inc, _, err := journal.Load[incident.Incident](tx, incident.KindIncident, e.About[0].ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(inc.Statements, func(st incident.Statement) bool { return st.By.Entry == e.Number })
	if i < 0 || inc.Statements[i].State(now) != partner.RequestOpen {
		return nil
	}
	n := partner.Notice{Kind: NoticeStatement, About: e.About[0], Path: fmt.Sprintf("/incidents/%s/statements/%d", inc.ID, inc.Statements[i].Number), Exercise: inc.Exercise}
	writer, _, err := journal.Load[partner.Member](tx, partner.KindMember, e.Member)
	if err != nil {
		return err
	}
	officers := func(partnerID string) (all []string, err error) { // who is on duty first
		k, members, err := contacts(tx, partnerID, now)
		for _, m := range slices.Concat(k.Order, sortedKeys(members)) {
			if x, ok := members[m]; ok && !x.Disabled && slices.Contains(x.Roles, access.Officer) && x.Account() != writer.Account() && !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
		return all, err
	}
	if n.Members, err = officers(e.Partner); err != nil {
		return err
	}
	if len(n.Members) == 0 {
		partners, err := partner.All(tx)
		if err != nil {
			return err
		}
		for _, p := range partners {
			if p.Disabled || p.ID == e.Partner || !e.Audience.SeenBy(p.ID, p.Kind) {
				continue
			}
			all, err := officers(p.ID)
			if err != nil {
				return err
			}
			n.Members = append(n.Members, all[:min(1, len(all))]...)
		}
	}
	return tellOnce(tx, id, n, now)
}

// approver is the approver to tell: whoever of them comes first on the roster,
// else the first one there is.
func approver(k Contacts, members map[string]partner.Member) []string {
	for _, id := range slices.Concat(k.Order, sortedKeys(members)) {
		if m, ok := members[id]; ok && !m.Disabled && slices.Contains(m.Roles, access.Approver) {
			return []string{id}
		}
	}
	return nil
}

// hasEdges reports whether an edge of the partner may be connected.
func hasEdges(r journal.StoreReader, partnerID string, now time.Time) (has bool, err error) {
	err = journal.Each(r, journal.ObjectQuery{Kind: partner.KindToken, Partner: partnerID, States: []string{"active"}}, func(t partner.Token, _ journal.Object) error {
		has = has || slices.Contains(t.Roles, access.Edge) && t.State(now) == "active"
		return nil
	})
	return has, err
}
