package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/media"
)

// TestMain is the confined worker as well, which is this program again.
func TestMain(m *testing.M) {
	if media.IsWorker() {
		media.WorkerMain()
	}
	os.Exit(m.Run())
}

// TestUpload wants every edge to meet every copy and every benign picture, and
// at any time three copies to one benign picture.
func TestUpload(t *testing.T) {
	var copies, benign []copyOf
	for i := range 10 {
		copies = append(copies, copyOf{name: fmt.Sprintf("copy %d", i)})
	}
	for i := range 22 {
		benign = append(benign, copyOf{name: fmt.Sprintf("benign %d", i)})
	}
	for _, edges := range []int{1, 3, 4, 12, 20} {
		met := map[string]bool{}
		lawful := 0
		const rounds = 400
		for i := range edges * rounds {
			f := upload(i, edges, copies, benign)
			met[fmt.Sprintf("%d %s", i%edges, f.name)] = true
			if slices.ContainsFunc(benign, func(b copyOf) bool { return b.name == f.name }) {
				lawful++
			}
		}
		if want := edges * (len(copies) + len(benign)); len(met) != want {
			t.Errorf("%d edges met %d files, want %d", edges, len(met), want)
		}
		if lawful*4 != edges*rounds {
			t.Errorf("%d edges: %d of %d uploads are benign, want a quarter", edges, lawful, edges*rounds)
		}
	}
}

// TestEnough wants twenty files or more at any number of edges, each as often as
// the others, and no more than are needed.
func TestEnough(t *testing.T) {
	for _, n := range []int{1, 10, 22} {
		for _, edges := range []int{1, 2, 3, 12, 20} {
			files := make([]copyOf, n)
			for i := range files {
				files[i].name = strconv.Itoa(i)
			}
			got := (&demo{sites: make([]*site, edges)}).enough(files)
			if len(got)*edges < 20 || len(got)%n != 0 || (len(got) > n && (len(got)-n)*edges >= 20) {
				t.Errorf("%d files at %d edges: %d", n, edges, len(got))
			}
			for i, f := range got {
				if f.name != files[i%n].name {
					t.Errorf("file %d is %s", i, f.name)
				}
			}
		}
	}
}

// TestMailbox sends a message as the node does and ends.
func TestMailbox(t *testing.T) {
	m, err := newMailbox()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.run(ctx) }()
	for range 2 {
		if err := smtp.SendMail("127.0.0.1:"+strconv.Itoa(m.port()), nil, "a@b.example", []string{"c@d.example"}, []byte("Subject: x\r\n\r\n250 ok\r\nquit\r\n")); err != nil {
			t.Error(err)
		}
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}

// cut ends a run when it has written a line.
type cut struct {
	strings.Builder
	at  string
	end context.CancelFunc
}

func (c *cut) Write(p []byte) (int, error) {
	n, err := c.Builder.Write(p)
	if strings.Contains(c.String(), c.at) {
		c.end()
	}
	return n, err
}

// TestActivationIsAcknowledged plays the story until three of the partners that
// the activation calls have acknowledged it, as the node itself counts them.
func TestActivationIsAcknowledged(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &cut{at: "know that it is active", end: cancel}
	if err := Run(ctx, Options{Data: filepath.Join(t.TempDir(), "data"), Once: true, Edges: 1, Out: out, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), " 3 of 7 partners know that it is active") {
		t.Errorf("the story is %s", out)
	}
}
