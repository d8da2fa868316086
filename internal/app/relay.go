package app

import (
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/relay"
)

// NewRelay makes a relay that answers as a node does.
func NewRelay(o relay.Options) (*relay.Relay, error) {
	if err := ownFolder(o.Dir, &aRelay); err != nil {
		return nil, err
	}
	o.Version, o.Error = Version(), api.WriteProblem(o.Log)
	return relay.New(o)
}
