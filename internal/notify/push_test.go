package notify_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/problem"
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
	// The browser reads it, and reads what the worker needs.
	plain, err := decrypt(browser, auth, got[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	var shown struct{ Text, Link, Tag string }
	if err := json.Unmarshal(plain, &shown); err != nil || shown.Text != "SIAGA: test of this channel. Nothing is asked of you." || shown.Link != "https://nusa.example/messages" {
		t.Errorf("the browser reads %s, %v", plain, err)
	}
	if other, err := ecdh.P256().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	} else if _, err := decrypt(other, auth, got[0].Body); err == nil {
		t.Error("another browser can read it")
	}
	claims, err := vapid(h.Get("Authorization"), node.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	left := time.Until(time.Unix(int64(claims.Exp), 0))
	if claims.Aud != w.hooks.URL || claims.Sub != "mailto:siaga@nusa.example" || left <= 0 || left > 24*time.Hour {
		t.Errorf("the push service is told %+v", claims)
	}
	// A browser that is gone (RFC 8030 §7.3) is not tried again.
	w.hooks.answer("/push", 410)
	if got, err := w.notify.Test(ctx, third, c.ID); err != nil || got.Reason != notify.ReasonGone || got.State() != "ended" {
		t.Errorf("%+v, %v", got, err)
	}
	w.hooks.take()
	err = w.store.View(ctx, func(r journal.StoreReader) error {
		_, err := r.Private(notify.KindChannel, c.ID)
		return err
	})
	if problem.KindOf(err) != problem.NotFound {
		t.Errorf("its keys are kept: %v", err)
	}
	if _, err := w.notify.Test(ctx, third, c.ID); problem.KindOf(err) != problem.Conflict || len(w.hooks.take()) != 0 {
		t.Errorf("tested again: %v", err)
	}
	// It stands on the page until the browser is added again.
	listed := func() (list []string) {
		rows, err := w.notify.Rows(ctx, third)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Member == third.Member {
				list = append(list, r.Kind+" "+r.State())
			}
		}
		return list
	}
	if got := listed(); !slices.Contains(got, "push ended") {
		t.Errorf("listed: %q", got)
	}
	// The owner hears of it by another channel, once, and nothing goes to the one that ended.
	w.tells = true
	w.hook(third, "/third")
	w.settle()
	told := 0
	for _, m := range w.hooks.take() {
		if strings.Contains(m.Text, "gets no messages any more") {
			told++
			if m.Path != "/third" {
				t.Errorf("told by %s", m.Path)
			}
		}
	}
	if told != 1 {
		t.Errorf("the owner was told %d times", told)
	}
	if _, err := w.notify.Add(ctx, third, notify.NewChannel{
		Kind: notify.Push, Target: w.hooks.URL + "/push2", Label: "Phone", P256dh: enc.EncodeToString(browser.PublicKey().Bytes()), Auth: enc.EncodeToString(auth),
	}); err != nil {
		t.Fatal(err)
	}
	if got := listed(); slices.Contains(got, "push ended") || !slices.Contains(got, "push untested") {
		t.Errorf("added again: %q", got)
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

// decrypt reads a message as a browser does (RFC 8291 §3.4, RFC 8188 §2).
func decrypt(browser *ecdh.PrivateKey, auth, body []byte) ([]byte, error) {
	if len(body) < 21+65 || body[20] != 65 {
		return nil, errors.New("no header")
	}
	salt, sender, sealed := body[:16], body[21:21+65], body[21+65:]
	from, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return nil, err
	}
	shared, err := browser.ECDH(from)
	if err != nil {
		return nil, err
	}
	info := "WebPush: info\x00" + string(browser.PublicKey().Bytes()) + string(sender)
	ikm, err := hkdf.Key(sha256.New, shared, auth, info, 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, sealed, nil)
	if err != nil {
		return nil, err
	}
	plain = bytes.TrimRight(plain, "\x00")
	if !bytes.HasSuffix(plain, []byte{2}) { // the last record
		return nil, errors.New("no end of the last record")
	}
	return plain[:len(plain)-1], nil
}

type vapidClaims struct {
	Aud string  `json:"aud"`
	Sub string  `json:"sub"`
	Exp float64 `json:"exp"`
}

// vapid checks who the sender says to be, as a push service does (RFC 8292).
func vapid(header string, node *ecdh.PublicKey) (c vapidClaims, err error) {
	enc := base64.RawURLEncoding
	t, k, ok := strings.Cut(strings.TrimPrefix(header, "vapid t="), ", k=")
	if key, kerr := enc.DecodeString(strings.TrimRight(k, "=")); !ok || kerr != nil || !bytes.Equal(key, node.Bytes()) {
		return c, errors.New("another key")
	}
	parts := strings.Split(t, ".")
	if len(parts) != 3 {
		return c, errors.New("no JWT")
	}
	sig, err := enc.DecodeString(parts[2])
	if err != nil || len(sig) != 64 {
		return c, errors.New("no signature of ES256")
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), node.Bytes())
	if err != nil {
		return c, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(pub, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return c, errors.New("a forged signature")
	}
	body, err := enc.DecodeString(parts[1])
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(body, &c)
}
