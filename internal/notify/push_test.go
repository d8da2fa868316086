package notify_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/notify"
)

// TestPush sends to a browser's push service: encrypted for that browser,
// signed by the node, and ended when the browser is gone.
func TestPush(t *testing.T) {
	t.Parallel()
	enc := base64.RawURLEncoding
	node, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	auth := make([]byte, 16)
	if _, err := rand.Read(auth); err != nil {
		t.Fatal(err)
	}
	w := newTeam(t, func(o *notify.Options) {
		o.Vapid = notify.Vapid{Public: enc.EncodeToString(node.PublicKey().Bytes()), Private: enc.EncodeToString(node.Bytes())}
	})
	ctx := t.Context()
	if w.notify.PushKey() == "" {
		t.Fatal("no key for browsers")
	}
	third := w.person("lensa", "third", "en", access.Officer)
	c, err := w.notify.Add(ctx, third, notify.NewChannel{
		Kind: notify.Push, Target: w.hooks.URL + "/push", Label: "Phone", P256dh: enc.EncodeToString(browser.PublicKey().Bytes()), Auth: enc.EncodeToString(auth), Phone: true,
	})
	if err != nil || c.Shown != "Phone" {
		t.Fatalf("%+v, %v", c, err)
	}
	w.hooks.answer("/push", 201)
	if got, err := w.notify.Test(ctx, third, c.ID); err != nil || got.State() != "works" {
		t.Fatalf("%+v, %v", got, err)
	}
	got := w.hooks.take()
	if paths(got) != "/push" {
		t.Fatalf("sent: %s", paths(got))
	}
	h := got[0].Header
	if !strings.HasPrefix(h.Get("Authorization"), "vapid t=") || h.Get("Content-Encoding") != "aes128gcm" || h.Get("Urgency") != "high" || h.Get("TTL") == "" {
		t.Errorf("header %v", h)
	}
	if bytes.Contains(got[0].Body, []byte("SIAGA")) || len(got[0].Body) < 100 {
		t.Error("the message is not encrypted")
	}
	// A browser that is gone (RFC 8030 §7.3) is not tried again.
	w.hooks.answer("/push", 410)
	if got, err := w.notify.Test(ctx, third, c.ID); err != nil || got.Reason != notify.ReasonRecipient {
		t.Errorf("%+v, %v", got, err)
	}
	for name, n := range map[string]notify.NewChannel{
		"a private address": {Kind: notify.Push, Target: "https://10.0.0.1/push", P256dh: "x", Auth: "y"},
		"no keys":           {Kind: notify.Push, Target: w.hooks.URL + "/push"},
	} {
		if _, err := w.notify.Add(ctx, third, n); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestHangingWebhook costs a bounded time, and the reason is said.
func TestHangingWebhook(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	w.hooks.mu.Lock()
	w.hooks.hang["/day"] = true
	w.hooks.mu.Unlock()
	rows, err := w.notify.Rows(t.Context(), w.day)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Member != w.day.Member {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		c, err := w.notify.Test(ctx, w.day, r.ID)
		cancel()
		if err != nil || c.Reason != notify.ReasonTimeout {
			t.Errorf("%+v, %v", c, err)
		}
	}
}
