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

// long marks a test that takes seconds: make test runs it, a bare go test does
// not, so that it stays quick.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SIAGA_TEST_FFMPEG") == "" {
		t.Skip("a long test: make test runs it")
	}
}
