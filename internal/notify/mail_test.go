package notify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/siaga-crp/siaga/internal/notify"
)

// mailServer is a mail server that wants TLS and a password.
type mailServer struct {
	mu       sync.Mutex
	got      []string // messages
	to       []string
	password string
}

type mailSession struct {
	s      *mailServer
	signed bool
}

func (s *mailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{s: s}, nil }

func (m *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (m *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		m.s.mu.Lock()
		defer m.s.mu.Unlock()
		if user != "siaga" || password != m.s.password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no"}
		}
		m.signed = true
		return nil
	}), nil
}

func (m *mailSession) Mail(string, *smtp.MailOptions) error {
	if !m.signed {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "gone@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.s.to = append(m.s.to, to)
	return nil
}

func (m *mailSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.s.got = append(m.s.got, string(b))
	return err
}

func (*mailSession) Reset()        {}
func (*mailSession) Logout() error { return nil }

func (s *mailServer) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// newMailServer starts one with a certificate of its own, and returns how the
// node reaches it.
func newMailServer(t *testing.T) (*mailServer, notify.Mail) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	s := &mailServer{password: "right"}
	server := smtp.NewServer(s)
	server.Domain, server.ReadTimeout, server.WriteTimeout = "127.0.0.1", 5*time.Second, 5*time.Second
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.ErrorLog = nobody{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Log(err)
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return s, notify.Mail{Host: "127.0.0.1", Port: p, User: "siaga", Password: "right", From: "siaga@nusa.example", Roots: roots}
}

type nobody struct{}

func (nobody) Printf(string, ...any) {}
func (nobody) Println(...any)        {}

// TestMail sends by a real mail server, over TLS and with a password.
func TestMail(t *testing.T) {
	t.Parallel()
	server, settings := newMailServer(t)
	w := newTeam(t, func(o *notify.Options) { o.Mail = settings })
	ctx := t.Context()
	rows, err := w.notify.Rows(ctx, w.day)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Member == w.day.Member {
			if err := w.notify.Remove(ctx, w.day, r.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := w.notify.Add(ctx, w.day, notify.NewChannel{Kind: notify.Email, Target: "day@lensa.example"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.notify.Test(ctx, w.day, c.ID); err != nil || got.State() != "works" {
		t.Fatalf("%+v, %v", got, err)
	}
	if got := server.take(); len(got) != 1 || !strings.Contains(got[0], "Nothing is asked of you") {
		t.Fatalf("%q", got)
	}
	inc := w.incident(w.nusa, false)
	got := server.take()
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	m, err := mail.ReadMessage(strings.NewReader(got[0]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(body), "=\r\n", ""), "\r\n", "\n")
	if want := "SIAGA " + inc.ID + " is new. Confirm by 14:40 UTC (21:40) or the next person is called."; m.Header.Get("Subject") != want || !strings.HasPrefix(text, want+" https://nusa.example/a/") {
		t.Errorf("subject %q, body %q", m.Header.Get("Subject"), text)
	}
	if !strings.Contains(text, "Why you: on duty for Lensa until 22:00 WIB") || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("%v %q", m.Header, text)
	}
	for _, never := range []string{"market", "Seroja", "hurt"} {
		if strings.Contains(got[0], never) {
			t.Errorf("%q in a message", never)
		}
	}
}

// TestWrongPassword: the channel is known to fail before the crisis, by the
// button and by the nightly self-test, and the operator sees it.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server, settings := newMailServer(t)
	w := newTeam(t, func(o *notify.Options) { o.Mail = settings })
	ctx := t.Context()
	c, err := w.notify.Add(ctx, w.day, notify.NewChannel{Kind: notify.Email, Target: "day@lensa.example"})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := w.notify.Add(ctx, w.day, notify.NewChannel{Kind: notify.Email, Target: "gone@lensa.example"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.notify.Test(ctx, w.day, gone.ID); err != nil || got.Reason != notify.ReasonRecipient {
		t.Errorf("%+v, %v", got, err)
	}
	server.mu.Lock()
	server.password = "another"
	server.mu.Unlock()
	if err := w.notify.SelfTest(ctx, struct{}{}); err != nil {
		t.Fatal(err)
	}
	rows, err := w.notify.Failing(ctx, w.chief)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range rows {
		found = found || r.ID == c.ID && r.Reason == notify.ReasonPassword
	}
	if !found {
		t.Errorf("the administrator sees %+v", rows)
	}
	if got, err := w.notify.Test(ctx, w.day, c.ID); err != nil || got.State() != "failing" || got.Reason != notify.ReasonPassword {
		t.Errorf("%+v, %v", got, err)
	}
	server.mu.Lock()
	server.password = "right"
	server.mu.Unlock()
	if got, err := w.notify.Test(ctx, w.day, c.ID); err != nil || got.State() != "works" {
		t.Errorf("%+v, %v", got, err)
	}
	// A server whose certificate nobody vouches for gets no password.
	other, untrusted := newMailServer(t)
	untrusted.Roots = x509.NewCertPool()
	v := newTeam(t, func(o *notify.Options) { o.Mail = untrusted })
	c, err = v.notify.Add(ctx, v.day, notify.NewChannel{Kind: notify.Email, Target: "day@lensa.example"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.notify.Test(ctx, v.day, c.ID); err != nil || got.Reason != notify.ReasonTLS {
		t.Errorf("%+v, %v", got, err)
	}
	if len(other.take()) != 0 {
		t.Error("a message went to a server that nobody vouches for")
	}
}
