// Package oidc signs people in at an OpenID provider: OpenID Connect Core 1.0,
// authorization code flow, with PKCE (RFC 7636), state and nonce.
//
// It answers one question: who does the provider say that this is. It knows no
// accounts and gives no rights; what an identity may do here is for package
// partner to say. It promises that an Identity came from the configured issuer
// for this client, for the very request that began in this browser, and is not
// over; anything else is refused. It keeps nothing: what ties the answer to its
// request travels in a Flow, which the caller keeps in the browser.
//
// Discovery and keys are fetched from the issuer with the given client when
// they are first needed, so that a provider that is away keeps nobody from
// signing in another way.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Options configures a Provider. All but Name and Secret are required.
type Options struct {
	Issuer   string // address of the provider, as its discovery document says it
	ClientID string
	Secret   string       // of the client; "" for a public one
	Name     string       // on the button, for example "Nusa account"; "": the issuer's host
	Redirect string       // our address that the provider sends people back to
	Client   *http.Client // for all requests to the provider
	Now      func() time.Time
}

// Provider is one OpenID provider. Its methods may be called concurrently.
type Provider struct {
	o Options

	mu    sync.Mutex
	found *oidc.Provider // guarded by mu; nil until discovery worked
}

// New returns a Provider; it asks the issuer nothing yet.
func New(o Options) (*Provider, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost")) || u.RawQuery != "" || u.Fragment != "" {
		return nil, problem.Newf(problem.Invalid, "the OpenID issuer %q is not an address such as https://id.example", o.Issuer).WithFix("correct the issuer in the configuration")
	}
	if o.ClientID == "" {
		return nil, problem.New(problem.Invalid, "the OpenID client has no ID", "set the client ID that the provider gave you")
	}
	if o.Name == "" {
		o.Name = u.Host
	}
	return &Provider{o: o}, nil
}

// Name is what people know the provider by.
func (p *Provider) Name() string { return p.o.Name }

// Flow ties an answer to its request. It belongs to the browser that began:
// keep it where no other one can read it.
type Flow struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Identity is who the provider says that someone is.
type Identity struct {
	Issuer   string
	Subject  string
	Email    string
	Verified bool // by the provider
}

// ErrRefused: the person or the provider ended the sign-in.
var ErrRefused = errors.New("oidc: refused at the provider")

const timeout = 10 * time.Second

func (p *Provider) away(err error) error {
	return problem.Newf(problem.Unavailable, "%s does not answer", p.o.Name).WithFix("try again in a minute, or sign in another way").Because(err)
}

func (p *Provider) provider(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	found, err := oidc.NewProvider(ctx, p.o.Issuer)
	if err != nil {
		return nil, p.away(err)
	}
	p.found = found
	return found, nil
}

// context gives requests to the provider our client.
func (p *Provider) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return oidc.ClientContext(ctx, p.o.Client), cancel
}

func (p *Provider) config(found *oidc.Provider) oauth2.Config {
	return oauth2.Config{
		ClientID: p.o.ClientID, ClientSecret: p.o.Secret, Endpoint: found.Endpoint(), RedirectURL: p.o.Redirect,
		Scopes: []string{oidc.ScopeOpenID, "email"},
	}
}

// Begin returns the address to send the browser to, and what ties the answer
// to this request.
func (p *Provider) Begin(ctx context.Context) (string, Flow, error) {
	ctx, cancel := p.context(ctx)
	defer cancel()
	found, err := p.provider(ctx)
	if err != nil {
		return "", Flow{}, err
	}
	f := Flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	c := p.config(found)
	return c.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), f, nil
}

var errAnswer = problem.New(problem.Invalid, "the answer does not belong to a sign-in that this browser began, or came too late", "begin again on the page Sign in")

// Finish checks the provider's answer, the query of the address that the
// browser was sent back to, and returns who it is. The error wraps ErrRefused
// if the provider says that it was refused there.
func (p *Provider) Finish(ctx context.Context, f Flow, answer url.Values) (Identity, error) {
	if f.State == "" || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(f.State)) != 1 {
		return Identity{}, errAnswer
	}
	if answer.Get("error") != "" {
		return Identity{}, problem.Newf(problem.Denied, "the sign-in was ended at %s", p.o.Name).WithFix("begin again, or sign in another way").Because(ErrRefused)
	}
	// RFC 9207: an answer of another provider is none of ours.
	if iss := answer.Get("iss"); iss != "" && iss != p.o.Issuer {
		return Identity{}, errAnswer
	}
	if answer.Get("code") == "" {
		return Identity{}, errAnswer
	}
	ctx, cancel := p.context(ctx)
	defer cancel()
	found, err := p.provider(ctx)
	if err != nil {
		return Identity{}, err
	}
	c := p.config(found)
	token, err := c.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(f.Verifier))
	if err != nil {
		if _, refused := errors.AsType[*oauth2.RetrieveError](err); refused {
			return Identity{}, errAnswer.Because(err)
		}
		return Identity{}, p.away(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Identity{}, fmt.Errorf("signing in at %s: its answer has no ID token", p.o.Issuer)
	}
	id, err := found.Verifier(&oidc.Config{ClientID: p.o.ClientID, Now: p.o.Now}).Verify(ctx, raw)
	if err != nil {
		return Identity{}, errAnswer.Because(err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return Identity{}, errAnswer
	}
	who := Identity{Issuer: id.Issuer, Subject: id.Subject}
	if who.Subject == "" || len(who.Subject) > 255 {
		return Identity{}, errAnswer
	}
	if who.Email, who.Verified, err = address(id.Claims); err != nil {
		return Identity{}, err
	}
	if who.Email == "" { // a provider may keep it out of the token (OpenID Connect Core, 5.4)
		info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err == nil && info.Subject == who.Subject {
			if who.Email, who.Verified, err = address(info.Claims); err != nil {
				return Identity{}, err
			}
		}
	}
	return who, nil
}

// address reads an e-mail address and whether the provider verified it; some
// write that as a string.
func address(claims func(any) error) (string, bool, error) {
	var c struct {
		Email    string `json:"email"`
		Verified any    `json:"email_verified"`
	}
	if err := claims(&c); err != nil {
		return "", false, fmt.Errorf("reading an ID token: %w", err)
	}
	verified := c.Verified == true || c.Verified == "true"
	return strings.TrimSpace(c.Email), verified, nil
}
