package app_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// However often /readyz is asked for, it makes the node write at most twice a
// second.
func TestReadyIsBounded(t *testing.T) {
	dir := folder(t)
	n := start(t, dir) // not run: nothing else writes
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		n.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	pages := func() int64 { // written: each transaction appends at least one
		st, err := os.Stat(filepath.Join(dir, "siaga.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Size() / 4096
	}
	none := pages()
	if code, text := ask("/readyz"); code != http.StatusOK {
		t.Fatal(code, text)
	}
	before, begun := pages(), time.Now()
	each := before - none
	if each < 1 {
		t.Fatal("it wrote nothing: the test tests nothing")
	}
	const asked = 80
	for range asked {
		if code, text := ask("/readyz"); code != http.StatusOK && code != http.StatusTooManyRequests {
			t.Errorf("%d %s", code, text)
		}
	}
	most := 1 + int64(time.Since(begun)/(500*time.Millisecond))
	if got := (pages() - before) / each; got > most {
		t.Errorf("%d questions in %s made %d writes", asked, time.Since(begun), got)
	}
	// Who asks and goes away does not leave its own end as the answer.
	time.Sleep(time.Until(begun.Add(time.Second)))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	n.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, http.MethodGet, "/readyz", nil))
	if code, text := ask("/readyz"); code != http.StatusOK {
		t.Errorf("after somebody went away: %d %s", code, text)
	}
}
