package media

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if IsWorker() {
		if os.Args[2] == probeArg {
			os.Exit(runProbe(os.Args[3:]))
		}
		fault = breakWorker
		WorkerMain()
	}
	goleak.VerifyTestMain(m)
}

// newPool returns a pool that ends with the test.
func newPool(t testing.TB, o Options) *Pool {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
