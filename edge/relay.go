package edge

import (
	"fmt"
)

// A relay greets in the node's place. Its certificate is the node's; what it
// may sign is its hello, which says where it stands. Operations, snapshots and
// heartbeats are the node's own, passed on as they came.

// certificate checks the certificate of a relay.
func (f *Follower) certificate(wire []byte) (*Certificate, error) {
	c, err := f.keys.ParseCertificate(wire)
	switch {
	case err != nil:
		return nil, f.refuse(AlarmSignature, err, "this is a relay without a certificate of the node; nothing from it is used")
	case f.partner != "" && c.Partner != f.partner:
		return nil, f.refuse(AlarmSignature, fmt.Errorf("%w: a certificate for another partner's edges", ErrSignature), "this relay may not serve this edge; nothing from it is used")
	case f.o.Now().After(c.Until):
		return nil, f.refuse(AlarmSignature, fmt.Errorf("%w: the relay's certificate ended at %s", ErrSignature, c.Until), "the relay has not heard from the node for so long that its certificate has ended; this edge keeps what it has")
	}
	return &c, nil
}

// greeter returns the keys that a hello may be signed with.
func (f *Follower) greeter() *Keys {
	if f.cert != nil {
		return f.cert.keys()
	}
	return f.keys
}
