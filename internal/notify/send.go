package notify

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/SherClockHolmes/webpush-go"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/slack"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/telegram"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/pagerduty"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushbullet"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushover"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/wneessen/go-mail"

	"github.com/siaga-crp/siaga/internal/outbound"
)

// Mail is the operator's way to send e-mail. The zero value sends none.
type Mail struct {
	Host     string
	Port     int    // 0: 587, or 465 with TLS implicit
	User     string // "": no sign-in
	Password string
	From     string
	TLS      string         // starttls (default), implicit, or none for a relay on this machine
	Roots    *x509.CertPool // nil: the system's
}

// Address is the host with its port.
func (m Mail) Address() string {
	p := m.Port
	if p == 0 {
		p = 587
		if m.TLS == "implicit" {
			p = 465
		}
	}
	return net.JoinHostPort(m.Host, strconv.Itoa(p))
}

// Vapid identifies this node to push services (RFC 8292). Keys are base64url
// without padding, as webpush-go makes them. The zero value sends none.
type Vapid struct{ Public, Private string }

// failure is why a message failed. Its text is for the log and says nothing of
// the receiver.
type failure struct {
	reason string // of the closed list
	final  bool   // trying again is of no use
	cause  error
}

func (f *failure) Error() string { return "message failed: " + f.reason }
func (f *failure) Unwrap() error { return f.cause }

func failed(reason string, final bool, cause error) error { return &failure{reason, final, cause} }

// classify turns an error of a connection into a failure.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if errors.Is(err, outbound.ErrRefused) {
		return failed(ReasonRefused, true, err)
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return failed(ReasonTimeout, false, err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return failed(ReasonTLS, false, err)
	}
	return failed(ReasonUnreachable, false, err)
}

// note is one message as it is sent.
type note struct {
	ID      string    // of the attempt; a receiver tells repetitions by it
	Text    string    // the sentence with its link
	Lines   []string  // more, for e-mail: why you, and what you can do
	Link    string    //
	Type    string    // of the webhook event, "siaga.call" or "siaga.test"
	Number  string    // of the incident; "" for a test
	Ask     string    //
	Due     time.Time //
	Real    bool      // not an exercise
	Subject string    // the sentence without its link
}

// sender sends messages by all kinds of channels.
type sender struct {
	guard    *outbound.Guard
	services *http.Client // nil: guard's
	mail     Mail
	vapid    Vapid
	now      func() time.Time
}

// sendTime bounds one attempt.
const sendTime = 20 * time.Second

// send sends and returns sent or delivered, or a failure.
func (s *sender) send(ctx context.Context, c Channel, k secret, n note) (state string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	switch c.Kind {
	case Email:
		return StateSent, classify(s.email(ctx, k, n))
	case Webhook:
		return StateDelivered, classify(s.webhook(ctx, k, n))
	case Push:
		return StateSent, classify(s.push(ctx, k, n))
	}
	if c.Kind == Telegram {
		return StateSent, classify(s.telegram(ctx, k, n.Text))
	}
	return StateSent, classify(s.service(ctx, c.Kind, k, n.Text))
}

// telegram sends by the Bot API's sendMessage, to each chat of the channel. We
// do it ourselves: shoutrrr's reports a message as sent where the connection
// failed or the answer was no JSON.
func (s *sender) telegram(ctx context.Context, k secret, text string) error {
	u, err := url.Parse(k.URL)
	if err != nil || u.Scheme != Telegram {
		return failed(ReasonSetup, true, errors.New("the channel's address cannot be read"))
	}
	password, _ := u.User.Password()
	to := "https://api.telegram.org/bot" + u.User.Username() + ":" + password + "/sendMessage"
	for chat := range strings.SplitSeq(u.Query().Get("chats"), ",") {
		body, err := json.Marshal(map[string]string{"chat_id": strings.TrimSpace(chat), "text": text})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
		if err != nil {
			return failed(ReasonSetup, true, errors.New("the channel's address cannot be read"))
		}
		req.Header.Set("Content-Type", "application/json")
		if err := s.ask(req, Telegram); err != nil {
			return err
		}
	}
	return nil
}

// ask sends a request to a service, whose address has the channel's token: no
// error of the connection goes further than this.
func (s *sender) ask(req *http.Request, kind string) error {
	client := s.guard.Client()
	if s.services != nil {
		client = s.services
	}
	res, err := client.Do(req)
	if err != nil {
		c := classify(err).(*failure) //nolint:errorlint,forcetypeassert // classify returns failures
		return failed(c.reason, c.final, errors.New(kind+" could not be asked"))
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)) // so that the connection can be used again
	return status(res.StatusCode)
}

// probe asks a channel whether it would work, without a sound where the other
// side lets us. tested is false where nothing could be asked.
func (s *sender) probe(ctx context.Context, c Channel, k secret, n note) (tested bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	switch c.Kind {
	case Email:
		return true, classify(s.dialMail(ctx, nil))
	case Webhook:
		return true, classify(s.webhook(ctx, k, n))
	case Push:
		return false, nil // a push message has to be shown, and would wake somebody
	}
	return s.askService(ctx, c.Kind, k)
}

func (s *sender) dialMail(ctx context.Context, m *mail.Msg) error {
	if s.mail.Host == "" {
		return failed(ReasonSetup, true, errors.New("the node has no mail server"))
	}
	host, port, err := net.SplitHostPort(s.mail.Address())
	if err != nil {
		return failed(ReasonSetup, true, err)
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		return failed(ReasonSetup, true, err)
	}
	o := []mail.Option{
		mail.WithPort(p), mail.WithTimeout(sendTime), mail.WithDialContextFunc(s.guard.DialContext), mail.WithoutNoop(),
		mail.WithTLSConfig(&tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: s.mail.Roots}),
	}
	switch s.mail.TLS {
	case "implicit":
		o = append(o, mail.WithSSL(), mail.WithDialContextFunc(s.dialTLS(host)))
	case "none":
		o = append(o, mail.WithTLSPolicy(mail.NoTLS))
	default:
		o = append(o, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.mail.User != "" {
		auth := mail.SMTPAuthPlain
		if s.mail.TLS == "none" {
			auth = mail.SMTPAuthPlainNoEnc
		}
		o = append(o, mail.WithSMTPAuth(auth), mail.WithUsername(s.mail.User), mail.WithPassword(s.mail.Password))
	}
	c, err := mail.NewClient(host, o...)
	if err != nil {
		return failed(ReasonSetup, true, err)
	}
	if m == nil {
		if err := c.DialWithContext(ctx); err != nil {
			return smtpFailure(err)
		}
		return smtpFailure(c.Close())
	}
	return smtpFailure(c.DialAndSendWithContext(ctx, m))
}

// dialTLS connects for implicit TLS: go-mail leaves that to the function.
func (s *sender) dialTLS(host string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := s.guard.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		t := tls.Client(c, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: s.mail.Roots})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return t, nil
	}
}

// smtpFailure reads what a mail server answered (RFC 5321 §4.2, RFC 4954 §6).
func smtpFailure(err error) error {
	if err == nil {
		return nil
	}
	code := 0
	if p, ok := errors.AsType[*textproto.Error](err); ok {
		code = p.Code
	}
	if p, ok := errors.AsType[*mail.SendError](err); ok && code == 0 {
		code = p.ErrorCode()
	}
	switch {
	case code == 535 || code == 534 || code == 530 || code == 538:
		return failed(ReasonPassword, true, err)
	case code == 550 || code == 551 || code == 553:
		return failed(ReasonRecipient, true, err)
	case code >= 400:
		return failed(ReasonAnswer, code >= 500, err)
	case strings.Contains(err.Error(), "STARTTLS") || strings.Contains(err.Error(), "tls:") || strings.Contains(err.Error(), "x509:"):
		return failed(ReasonTLS, false, err)
	}
	return err
}

func (s *sender) email(ctx context.Context, k secret, n note) error {
	m := mail.NewMsg()
	if err := errors.Join(m.From(s.mail.From), m.To(k.Address)); err != nil {
		return failed(ReasonSetup, true, err)
	}
	m.Subject(n.Subject)
	m.SetMessageIDWithValue(n.ID + "@" + domainOf(s.mail.From))
	m.SetDate()
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nothing answers it by itself
	m.SetImportance(mail.ImportanceUrgent)
	m.SetBodyString(mail.TypeTextPlain, n.Text+"\n\n"+strings.Join(n.Lines, "\n")+"\n")
	return s.dialMail(ctx, m)
}

func domainOf(address string) string {
	_, d, ok := strings.Cut(address, "@")
	if !ok {
		return "siaga.invalid"
	}
	return strings.Trim(d, "> ")
}

// event is the body of a webhook.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      eventData `json:"data"`
}

type eventData struct {
	Text     string    `json:"text"`
	Number   string    `json:"number,omitempty"`
	Ask      string    `json:"ask,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
	Exercise bool      `json:"exercise"`
	Link     string    `json:"link"`
}

func (s *sender) webhook(ctx context.Context, k secret, n note) error {
	at := s.now().UTC().Truncate(time.Second)
	body, err := json.Marshal(event{n.Type, at, eventData{n.Text, n.Number, n.Ask, n.Due, !n.Real, n.Link}})
	if err != nil {
		return err
	}
	wh, err := standardwebhooks.NewWebhook(k.Key)
	if err != nil {
		return failed(ReasonSetup, true, err)
	}
	sig, err := wh.Sign(n.ID, at, body)
	if err != nil {
		return failed(ReasonSetup, true, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL, bytes.NewReader(body))
	if err != nil {
		return failed(ReasonRefused, true, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Siaga")
	req.Header.Set("Webhook-Id", n.ID)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("Webhook-Signature", sig)
	return s.do(req)
}

// do sends the request and judges the answer's status.
func (s *sender) do(req *http.Request) error {
	res, err := s.guard.Client().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection can be used again
	return status(res.StatusCode)
}

func status(code int) error {
	err := fmt.Errorf("answered %d", code)
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return failed(ReasonRedirect, true, err)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return failed(ReasonPassword, true, err)
	case code == http.StatusNotFound || code == http.StatusGone:
		return failed(ReasonRecipient, true, err)
	}
	return failed(ReasonAnswer, false, err)
}

func (s *sender) push(ctx context.Context, k secret, n note) error {
	if s.vapid.Private == "" {
		return failed(ReasonSetup, true, errors.New("the node has no push key"))
	}
	if _, err := s.guard.CheckURL(k.URL); err != nil {
		return failed(ReasonRefused, true, err)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(k.P256dh, "=")); err == nil {
		if _, err := ecdh.P256().NewPublicKey(raw); err != nil {
			return failed(ReasonRecipient, true, err)
		}
	}
	// The tag keeps each ask of an incident; a repetition takes the place of the one before.
	body, err := json.Marshal(map[string]string{"text": n.Subject, "link": n.Link, "tag": strings.TrimSpace(n.Number + " " + n.Ask)})
	if err != nil {
		return err
	}
	res, err := webpush.SendNotificationWithContext(ctx, body, &webpush.Subscription{Endpoint: k.URL, Keys: webpush.Keys{P256dh: k.P256dh, Auth: k.Auth}}, &webpush.Options{
		HTTPClient: s.guard.Client(), TTL: 3600, Urgency: webpush.UrgencyHigh, Subscriber: s.mail.From,
		VAPIDPublicKey: s.vapid.Public, VAPIDPrivateKey: s.vapid.Private,
	})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone { // RFC 8030 §7.3: for good
		return failed(ReasonGone, true, fmt.Errorf("answered %d", res.StatusCode))
	}
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection can be used again
	return status(res.StatusCode)
}

// serviceOf returns shoutrrr's sender of a kind.
func serviceOf(kind string, u *url.URL) (types.Service, error) {
	var svc types.Service
	switch kind {
	case "telegram":
		svc = &telegram.Service{}
	case "slack":
		svc = &slack.Service{}
	case "discord":
		svc = &discord.Service{}
	case "pushover":
		svc = &pushover.Service{}
	case "pushbullet":
		svc = &pushbullet.Service{}
	case PagerDuty:
		svc = &pagerduty.Service{}
	default:
		return nil, fmt.Errorf("notify: no service %q", kind)
	}
	return svc, svc.Initialize(u, log.New(io.Discard, "", 0))
}

func newService(kind string, u *url.URL) error {
	_, err := serviceOf(kind, u)
	return err
}

// service sends by shoutrrr, which knows no context: the attempt is given up
// when ctx ends, and what is under way ends by the service's own time-out.
func (s *sender) service(ctx context.Context, kind string, k secret, text string) error {
	u, err := url.Parse(k.URL)
	if err != nil || u.Scheme != kind {
		return failed(ReasonSetup, true, errors.New("the channel's address cannot be read"))
	}
	svc, err := serviceOf(kind, u)
	if err != nil {
		return failed(ReasonSetup, true, errors.New("the channel's address cannot be read"))
	}
	done := make(chan error, 1)
	go func() { done <- svc.Send(text, nil) }() // ends with the request
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	// Its errors may repeat the address with its token: they go no further.
	text = err.Error()
	for code, reason := range map[string]string{"401": ReasonPassword, "403": ReasonPassword, "Unauthorized": ReasonPassword, "invalid": ReasonPassword, "404": ReasonRecipient, "chat not found": ReasonRecipient} {
		if strings.Contains(text, code) {
			return failed(reason, true, errors.New(kind+" refused the message"))
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return failed(ReasonTimeout, false, err)
	}
	return failed(ReasonUnreachable, false, errors.New(kind+" could not be reached"))
}

// askService asks a chat service whether it still knows the channel's token,
// in the way that each has for it. None of these shows anything to a person.
func (s *sender) askService(ctx context.Context, kind string, k secret) (tested bool, err error) {
	u, err := url.Parse(k.URL)
	if err != nil {
		return true, failed(ReasonSetup, true, errors.New("the channel's address cannot be read"))
	}
	password, _ := u.User.Password()
	var req *http.Request
	switch kind {
	case "telegram": // telegram://token@telegram?chats=…; the token has a colon
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, "https://api.telegram.org/bot"+u.User.Username()+":"+password+"/getMe", nil)
	case "discord": // discord://token@webhook
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, "https://discord.com/api/webhooks/"+url.PathEscape(u.Host)+"/"+url.PathEscape(u.User.Username()), nil)
	case "pushover": // pushover://shoutrrr:token@user
		req, err = http.NewRequestWithContext(ctx, http.MethodPost, "https://api.pushover.net/1/users/validate.json",
			strings.NewReader(url.Values{"token": {password}, "user": {u.Host}}.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	case "pushbullet": // pushbullet://token
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, "https://api.pushbullet.com/v2/users/me", nil)
		if err == nil {
			req.Header.Set("Access-Token", u.Host)
		}
	default:
		return false, nil
	}
	if err != nil {
		return true, failed(ReasonSetup, true, errors.New("the channel's address cannot be read"))
	}
	return true, s.ask(req, kind)
}
