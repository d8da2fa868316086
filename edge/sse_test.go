package edge_test

import (
	"io"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/edge"
)

// There is more only if Next would not wait: a sign of life, or a part of an
// event, is not enough.
func TestMoreIsAWholeEvent(t *testing.T) {
	for after, want := range map[string]bool{
		"":                                false,
		":\n\n":                           false,
		":\n\n:\n\n\n\n":                  false,
		"event: op\n\n":                   false, // without data it is none
		"event: op\ndata: 2":              false,
		"event: op\ndata: 2\n":            false,
		"event: op\ndata: 2\n\n":          true,
		":\n\nevent: op\ndata: 2\n\n":     true,
		":\r\n\r\ndata: 2\r\n\r\n":        true,
		"data: 2\ndata: 3\n\n:\n\n":       true,
		"event: op\n\n:\n\ndata: 2\n\n\n": true,
	} {
		in, out := io.Pipe()
		go func() {
			_, _ = out.Write([]byte("event: op\ndata: 1\n\n" + after)) // the reader's end says the rest
		}()
		r := edge.NewEventReader(in)
		if _, data, err := r.Next(); err != nil || string(data) != "1" {
			t.Fatalf("%q: %s %v", after, data, err)
		}
		if got := r.More(); got != want {
			t.Errorf("after %q there is more: %t", after, got)
		}
		if want {
			if _, data, err := r.Next(); err != nil || !strings.HasPrefix(string(data), "2") {
				t.Errorf("after %q: %s %v", after, data, err)
			}
		}
		_ = in.Close()
	}
}
