package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKill kills the node (twenty times under make test, else five times) while
// programs write to it. What it has
// acknowledged must be there afterwards, once; what it has not is sent again
// with the same key and must be there once, too; and the journal must verify
// after each start.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes for some 20 s")
	}
	cycles := 5
	if os.Getenv("SIAGA_TEST_LONG") != "" {
		cycles = 20
	}
	if n, err := strconv.Atoi(os.Getenv("SIAGA_KILLS")); err == nil {
		cycles = n
	}
	const writers = 4
	data := filepath.Join(t.TempDir(), "data")
	run(t, "init", "--data", data)
	token := strings.TrimSpace(run(t, "token", "create", "--data", data, "--roles", "officer,observer"))

	type object struct{ ID, Title string }
	var mu sync.Mutex
	acked := map[string]string{} // incident by key, which is also its title
	var open []string            // keys that were sent and not answered
	sent := 0
	// post returns false when the node did not answer.
	post := func(url, key string) bool {
		var o object
		_, err := call(t.Context(), http.MethodPost, url+"/api/v1/incidents", token, key, map[string]any{
			"title": key, "description": "An attack on a market.", "where": "Kota Seroja", "country": "ID", "exercise": true,
		}, &o)
		mu.Lock()
		defer mu.Unlock()
		if errors.Is(err, errRefused) {
			t.Errorf("%s: %v", key, err)
			return true
		}
		if err != nil {
			open = append(open, key)
			return false
		}
		if o.ID == "" || o.Title != key {
			t.Errorf("%s: the answer is of %q, %q", key, o.ID, o.Title)
		}
		if was, ok := acked[key]; ok && was != o.ID {
			t.Errorf("%s was acknowledged as %s and then as %s", key, was, o.ID)
		}
		acked[key] = o.ID
		return true
	}
	verify := func() {
		t.Helper()
		if out := run(t, "log", "verify", "--data", data); !strings.Contains(out, "verified=true") {
			t.Fatalf("the journal does not verify:\n%s", out)
		}
	}
	again := func(url string) {
		mu.Lock()
		keys := open
		open = nil
		mu.Unlock()
		for _, key := range keys {
			post(url, key)
		}
	}
	resent := 0
	for cycle := range cycles {
		n := start(t, "address", "serve", "--data", data, "--listen", "127.0.0.1:0", "--log", "error")
		verify()
		resent += len(open)
		again(n.url)
		var g sync.WaitGroup
		for w := range writers {
			g.Go(func() {
				for i := 0; ; i++ {
					mu.Lock()
					sent++
					mu.Unlock()
					if !post(n.url, fmt.Sprintf("cycle %d writer %d number %d", cycle, w, i)) {
						return
					}
				}
			})
		}
		time.AfterFunc(time.Duration(20+rand.IntN(180))*time.Millisecond, n.kill)
		g.Wait()
		n.kill()
		http.DefaultClient.CloseIdleConnections()
	}
	n := start(t, "address", "serve", "--data", data, "--listen", "127.0.0.1:0", "--log", "error")
	resent += len(open)
	again(n.url)
	verify()

	stored := map[string][]string{}
	for next := ""; ; {
		page := must[struct {
			Items []object
			Next  string
		}](t, http.MethodGet, n.url+"/api/v1/incidents?limit=200"+next, token, nil)
		for _, o := range page.Items {
			stored[o.Title] = append(stored[o.Title], o.ID)
		}
		if page.Next == "" {
			break
		}
		next = "&cursor=" + page.Next
	}
	if len(open) > 0 || len(acked) != sent || len(stored) != sent {
		t.Errorf("%d sent, %d acknowledged, %d stored, %d without an answer", sent, len(acked), len(stored), len(open))
	}
	for key, id := range acked {
		if got := stored[key]; len(got) != 1 || got[0] != id {
			t.Errorf("%s was acknowledged as %s; stored: %v", key, id, got)
		}
	}
	if resent < cycles {
		t.Errorf("only %d requests were cut off by %d kills: the test did not test", resent, cycles)
	}
	t.Logf("kills=%d acknowledged=%d sent_again=%d lost=0 twice=0", cycles, len(acked), resent)
}
