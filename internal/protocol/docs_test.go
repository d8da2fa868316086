package protocol_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/protocol"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUseDocument: the example of the page passes the check, and the page
// names every key that a definition knows.
func TestUseDocument(t *testing.T) {
	page := read(t, "../../docs/use/protocols.md")
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("%d examples", len(blocks))
	}
	d, mistakes := protocol.Parse([]byte(blocks[0][1]))
	for _, m := range mistakes {
		t.Error(m)
	}
	if d != nil {
		playRound(t, d)
	}
	keys := regexp.MustCompile(`(?m)^ *(?:- )?([a-z_]+):`)
	for _, d := range protocol.Builtin() {
		if !strings.Contains(page, "`"+d.ID+"`") {
			t.Errorf("%s is not on the page", d.ID)
		}
		for _, m := range keys.FindAllStringSubmatch(string(d.Source), -1) {
			if k := m[1]; !strings.Contains(page, k) {
				t.Errorf("the key %s of %s is not on the page", k, d.ID)
			}
		}
	}
	for _, s := range protocol.States() {
		if !strings.Contains(page, "| `"+string(s)+"` |") {
			t.Errorf("the state %s is not on the page", s)
		}
	}
}

// TestDesignDocument names every event and what makes it.
func TestDesignDocument(t *testing.T) {
	page := read(t, "../../docs/design/0002-protocol-engine.md")
	for _, e := range append(protocol.EventTypes(),
		protocol.EvNotified, protocol.EvAssessed, protocol.EvThreatToLife, protocol.EvOpened, protocol.EvClosed, protocol.EvReopened) {
		if !strings.Contains(page, "`"+e+"`") {
			t.Errorf("the event %s is not described", e)
		}
	}
	for _, v := range protocol.Verbs() {
		if !strings.Contains(page, "`"+string(v)+"`") {
			t.Errorf("the verb %s is not described", v)
		}
	}
}
