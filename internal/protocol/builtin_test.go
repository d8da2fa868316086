package protocol_test

import (
	"testing"

	"github.com/siaga-crp/siaga/internal/protocol"
)

func TestBuiltin(t *testing.T) {
	all := protocol.Builtin()
	if len(all) == 0 || all[0].ID != protocol.DefaultName {
		t.Fatalf("the first built-in definition is not %s", protocol.DefaultName)
	}
}
