package notify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/problem"
)

// cloud stands for the chat and push services, whose hosts are fixed: what is
// sent to any of them comes here.
type cloud struct {
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	status int
	body   string
	hang   chan struct{} // answers wait for its end; nil: they do not
}

func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	c.mu.Lock()
	c.got, c.bodies = append(c.got, r), append(c.bodies, string(body))
	status, answer, hang := c.status, c.body, c.hang
	c.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	res := &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}
	if status >= 300 && status < 400 {
		res.Header.Set("Location", "http://169.254.169.254/latest/meta-data/")
	}
	return res, nil
}

func (c *cloud) set(status int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got, c.bodies, c.status, c.body = nil, nil, status, body
}

// What each service is really sent, and what becomes of an answer that means
// failure. It is not parallel: the services use the process's own transport.
func TestServices(t *testing.T) {
	c := &cloud{}
	before := http.DefaultTransport
	http.DefaultTransport = outbound.Stay(c, notify.ServiceHosts()...)
	t.Cleanup(func() { http.DefaultTransport = before })
	w := newWorld(t, func(o *notify.Options) {
		o.Services = &http.Client{Transport: c, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	})
	ayu := w.person("nusa", "ayu", "en", access.Officer)
	const text = "SIAGA: test of this channel. Nothing is asked of you. https://nusa.example/messages"
	for _, s := range []struct {
		kind, target string
		ok           string // answer of the service
		url          string
		header       string // name: value
		has          []string
		refused      string // answer to a wrong token
	}{
		{
			kind: "telegram", target: "telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=-100200300", ok: `{"ok":true,"result":{"message_id":1}}`,
			url: "https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage", has: []string{text, `"chat_id":"-100200300"`},
			refused: `{"ok":false,"error_code":401,"description":"Unauthorized"}`,
		},
		{
			kind: "slack", target: "slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook", ok: "ok",
			url: "https://hooks.slack.com/services/WNA3PBYV6/F20DUQND3RQ/Webc4MAvoacrpPakR8phF0zi", has: []string{text}, refused: "invalid_token",
		},
		{
			kind: "discord", target: "discord://Xm3wF9Kd2Lq8Zr5Vt1Bn7Hc4Jy6Ps0Ag-token@123456789012345678", ok: "",
			url: "https://discord.com/api/webhooks/123456789012345678/Xm3wF9Kd2Lq8Zr5Vt1Bn7Hc4Jy6Ps0Ag-token", has: []string{text}, refused: `{"message": "Invalid Webhook Token", "code": 50027}`,
		},
		{
			kind: "pushover", target: "pushover://shoutrrr:azGDORePK8gMaC0QOYAMyEEuzJnyUi@uQiRzpo4DXghDmr9QzzfQu27cmVRsG", ok: `{"status":1}`,
			url: "https://api.pushover.net/1/messages.json", has: []string{"token=azGDORePK8gMaC0QOYAMyEEuzJnyUi", "user=uQiRzpo4DXghDmr9QzzfQu27cmVRsG", "message=SIAGA%3A+test+of+this+channel"},
			refused: `{"token":"invalid","status":0}`,
		},
		{
			kind: "pushbullet", target: "pushbullet://o.abcdefghijklmnopqrstuvwxyz123456", ok: `{"active":true,"type":"note","title":"Shoutrrr notification","body":"` + text + `"}`,
			url: "https://api.pushbullet.com/v2/pushes", header: "Access-Token: o.abcdefghijklmnopqrstuvwxyz123456", has: []string{text, `"type": "note"`},
			refused: `{"error":{"type":"invalid_access_token","message":"Access token is missing or invalid.","cat":"(=^‥^=)"}}`,
		},
		{
			kind: "pagerduty", target: "pagerduty://events.eu.pagerduty.com/0123456789abcdef0123456789abcdef", ok: `{"status":"success","message":"Event processed","dedup_key":"x"}`,
			url: "https://events.eu.pagerduty.com:443/v2/enqueue", has: []string{text, `"routing_key":"0123456789abcdef0123456789abcdef"`, `"event_action":"trigger"`},
			refused: `{"status":"invalid event","message":"Event object is invalid","errors":["routing_key is invalid"]}`,
		},
	} {
		t.Run(s.kind, func(t *testing.T) {
			ch, err := w.notify.Add(t.Context(), ayu, notify.NewChannel{Kind: s.kind, Target: s.target})
			if err != nil {
				t.Fatal(err)
			}
			c.set(http.StatusOK, s.ok)
			if got, err := w.notify.Test(t.Context(), ayu, ch.ID); err != nil || got.State() != "works" {
				t.Errorf("%s %s, %v", got.State(), got.Reason, err)
			}
			if len(c.got) != 1 || c.got[0].Method != http.MethodPost || c.got[0].URL.String() != s.url {
				t.Fatalf("%d requests, %v", len(c.got), c.got[0].URL)
			}
			if name, value, ok := strings.Cut(s.header, ": "); ok && c.got[0].Header.Get(name) != value {
				t.Errorf("header %v", c.got[0].Header)
			}
			for _, want := range s.has {
				if !strings.Contains(c.bodies[0], want) {
					t.Errorf("the body is %s, want %s in it", c.bodies[0], want)
				}
			}
			c.set(http.StatusUnauthorized, s.refused)
			if got, err := w.notify.Test(t.Context(), ayu, ch.ID); err != nil || got.Reason != notify.ReasonPassword {
				t.Errorf("a wrong token: %s, %v", got.Reason, err)
			}
			c.set(0, "") // no connection at all: it must not be taken for sent
			if got, err := w.notify.Test(t.Context(), ayu, ch.ID); err != nil || got.Reason != notify.ReasonUnreachable {
				t.Errorf("no connection: %s %s, %v", got.State(), got.Reason, err)
			}
			c.set(http.StatusBadGateway, "<html>a proxy speaks</html>")
			if s.kind == "discord" { // tries again by itself, for longer than a message may take
				return
			}
			if got, err := w.notify.Test(t.Context(), ayu, ch.ID); err != nil || !got.Failing || got.Reason == notify.ReasonPassword {
				t.Errorf("a fault there: %s, %v", got.Reason, err)
			}
			// A redirect to an address inside is not followed there.
			c.set(http.StatusFound, "{}")
			if got, err := w.notify.Test(t.Context(), ayu, ch.ID); err != nil || !got.Failing {
				t.Errorf("a redirect: %s, %v", got.State(), err)
			}
			for _, r := range c.got {
				if !strings.HasPrefix(r.URL.String(), "https://") {
					t.Errorf("it went to %s", r.URL.Host)
				}
			}
			c.set(http.StatusOK, s.ok)
			c.hang = make(chan struct{})
			defer func() { close(c.hang); c.hang = nil }()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if got, err := w.notify.Test(ctx, ayu, ch.ID); err != nil || got.Reason != notify.ReasonTimeout {
				t.Errorf("hanging: %s, %v", got.Reason, err)
			}
		})
	}
	// Its address can name a host: only its own are asked.
	for _, target := range []string{"pagerduty://127.0.0.1/0123456789abcdef0123456789abcdef", "pagerduty://events.pagerduty.com:8443/0123456789abcdef0123456789abcdef", "pagerduty:///0123456789abcdef0123456789abcdef?action=resolve", "pagerduty:///short"} {
		_, err := w.notify.Add(t.Context(), ayu, notify.NewChannel{Kind: notify.PagerDuty, Target: target})
		w.wantKind(target, err, problem.Invalid, "this is not an address of pagerduty")
	}
	for _, e := range w.entries("channel.added", "channel.checked") {
		if bytes.Contains(e.Body, []byte("azGDORePK8gMaC0QOYAMyEEuzJnyUi")) || bytes.Contains(e.Body, []byte("Webc4MAvoacrpPakR8phF0zi")) {
			t.Errorf("%s has a token: %s", e.Type, e.Body)
		}
	}
}

// A chat channel that answers 500 for two hours: the next person is called
// within seconds, it is tried on with growing pauses for an hour, and not once
// more in the second. It is not parallel: see TestServices.
func TestChatAnswers500ForTwoHours(t *testing.T) {
	c := &cloud{}
	before := http.DefaultTransport
	http.DefaultTransport = outbound.Stay(c, notify.ServiceHosts()...)
	t.Cleanup(func() { http.DefaultTransport = before })
	w := newTeam(t, func(o *notify.Options) { o.Services = &http.Client{Transport: c} })
	rows, err := w.notify.Rows(t.Context(), w.day)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Member == w.day.Member {
			if err := w.notify.Remove(t.Context(), w.day, r.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	chat, err := w.notify.Add(t.Context(), w.day, notify.NewChannel{Kind: "slack", Target: "slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook"})
	if err != nil {
		t.Fatal(err)
	}
	c.set(http.StatusInternalServerError, "")
	w.incident(w.nusa, false)
	w.pass(15 * time.Second)
	if got := paths(w.hooks.take()); len(c.got) != 2 || got != "/night" {
		t.Errorf("after 15 s: %d attempts, and %s is called, want two and the next person", len(c.got), got)
	}
	w.pass(time.Hour)
	first := len(c.got)
	if first < 4 || first > 10 {
		t.Errorf("%d attempts in the first hour", first)
	}
	w.hooks.take()
	w.pass(70 * time.Minute)
	if len(c.got) != first || len(w.hooks.take()) != 0 {
		t.Errorf("%d more attempts in the second hour", len(c.got)-first)
	}
	if rows, err := w.notify.Failing(t.Context(), w.chief); err != nil || len(rows) != 1 || rows[0].ID != chat.ID {
		t.Errorf("not known to fail: %+v, %v", rows, err)
	}
}
