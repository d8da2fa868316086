package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/problem"
)

// LookbackOptions say how an edge keeps fingerprints of recent uploads. The
// zero value keeps none.
type LookbackOptions struct {
	On         bool
	MaxAge     time.Duration // 0: 7 days
	MaxBytes   int64         // 0: 512 MiB
	MaxUploads int           // 0: 100,000
	Notify     string        // local address that events are posted to; "": nobody
}

// openLookback opens the folder of look-back within the edge's own.
func openLookback(m *edge.Matcher, o EdgeOptions) (*edge.Lookback, error) {
	lo := o.Lookback
	if o.Data == "" {
		return nil, problem.New(problem.Invalid, "look-back needs a folder to keep fingerprints in", "name one with --data")
	}
	if lo.Notify != "" {
		if u, err := url.Parse(lo.Notify); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, problem.Newf(problem.Invalid, "%q is not an address such as http://127.0.0.1:8080/lookback", lo.Notify).WithFix("correct --lookback-notify")
		}
	}
	l, err := edge.OpenLookback(m, edge.LookbackOptions{
		Dir: filepath.Join(o.Data, "lookback"), Secret: o.Token, MaxAge: lo.MaxAge, MaxBytes: lo.MaxBytes, MaxUploads: lo.MaxUploads, Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, problem.Newf(problem.Unavailable, "the folder of look-back cannot be used: %v", err).WithFix("check the rights and the space of the folder named with --data").Because(err)
	}
	return l, nil
}

// postPause is how long a receiver that failed is left alone.
const postPause = 2 * time.Second

// postEvents posts events to the platform's own program, in order, each answer of
// GET /v1/lookback at least once: an answer other than 2xx is sent again. It
// begins with the newest events of before, as nobody knows what the receiver
// has; events carry numbers.
func postEvents(ctx context.Context, l *edge.Lookback, to string, log *slog.Logger) {
	client := &http.Client{Timeout: 10 * time.Second}
	send := func(a edge.LookbackAnswer) error {
		b, err := json.Marshal(a)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(b))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // only its status counts
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return nil
	}
	after := uint64(0)
	for ctx.Err() == nil {
		l.Wait(ctx, after)
		a := l.Answer(after)
		if len(a.Events)+len(a.Exercise) == 0 {
			continue
		}
		if err := send(a); err != nil {
			if ctx.Err() == nil {
				log.WarnContext(ctx, "events of look-back not delivered", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(postPause):
			}
			continue
		}
		after = a.Next
	}
}
