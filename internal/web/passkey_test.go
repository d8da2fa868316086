package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
)

// authenticator gives the browser a passkey device that touches by itself.
func (b *tab) authenticator(transport webauthn.AuthenticatorTransport) webauthn.AuthenticatorID {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{})
	b.ok(err)
	got, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: transport,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	b.ok(err)
	return got.AuthenticatorID
}

func (b *tab) verifies(id webauthn.AuthenticatorID, yes bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: id, IsUserVerified: yes})
	b.ok(err)
}

func (b *tab) click(sel string) {
	b.t.Helper()
	b.ok(chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(sel))))
}

func (b *tab) at(path string) {
	b.t.Helper()
	b.until("the page "+path, `location.pathname + location.search === `+quote(path), 5*time.Second)
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// shot keeps a picture of the page at both widths and in both themes, where
// SIAGA_SHOTS names a folder.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("SIAGA_SHOTS")
	if dir == "" {
		return
	}
	for _, px := range []int64{1280, 390} {
		b.wide(px)
		for _, theme := range []string{"light", "dark"} {
			eval[bool](b, `document.documentElement.dataset.theme = "`+theme+`", true`)
			png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			b.ok(err)
			b.ok(os.WriteFile(filepath.Join(dir, name+"-"+map[int64]string{1280: "1280", 390: "390"}[px]+"-"+theme+".png"), png, 0o600))
		}
	}
	b.wide(1280)
}

// The whole life of passkeys in a real browser: an invitation taken up with
// one, sign-in without a name, step-up that sends the waiting form on, a
// second one, removal, and what is refused.
func TestPasskeys(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	ctx := t.Context()
	shell := access.Actor{Partner: "nusa", Kind: access.Government, Shell: true, Roles: []access.Role{access.Administrator}}
	fajar, code, err := w.node.Partners.AddMember(ctx, shell, partner.NewMember{Partner: "nusa", Name: "Fajar", Email: "fajar@nusa.example", Roles: []access.Role{access.Administrator, access.Officer}})
	w.ok(err)
	b := w.tab(t, "nobody")
	device := b.authenticator(webauthn.AuthenticatorTransportInternal)
	const button = "[data-passkey-do]"

	b.open("/first/" + code + "?lang=en")
	b.shot("first")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("#name"), "work laptop")))
	b.click(button)
	b.at("/settings/keys?sent=first_passkey")
	b.shot("keys-first")
	if text := eval[string](b, `document.querySelector("[aria-labelledby=h-passkeys]").innerText`); !strings.Contains(text, "work laptop") {
		t.Fatalf("the list of passkeys says %q", text)
	}

	// Sign out, and in without a name.
	b.click(`form[action="/sign-out"] button`)
	b.at("/sign-in")
	b.open("/sign-in?lang=en&next=/partners")
	b.shot("sign-in")
	b.verifies(device, false) // a touch without fingerprint or PIN is not enough
	b.click(button)
	b.until("the refusal", `!document.querySelector("[data-passkey-note]").hidden`, 5*time.Second)
	b.verifies(device, true)
	b.click(button)
	b.at("/partners")

	// A form that needs presence waits for the touch and is then sent on.
	b.open("/admin/members?lang=en")
	b.shot("members")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("#name"), "Gita"), chromedp.SendKeys(chromedp.CSS("#email"), "gita@nusa.example"), chromedp.Click(chromedp.CSS("input[value=officer]"))))
	_, err = chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(".section button.primary")))
	b.ok(err)
	b.until("the step-up", `document.querySelector("h1").innerText.includes("Prove") || document.querySelector("input[name=_for]") !== null`, 5*time.Second)
	b.shot("step-up")
	if got := eval[string](b, `document.querySelector("input[name=_for]").value`); got != "member.manage" {
		t.Fatalf("the touch is for %q", got)
	}
	b.click(button)
	b.until("the invitation", `document.querySelector(".banner.ok .mono")?.innerText.includes("/first/") === true`, 5*time.Second)
	b.shot("members-invited")
	// The proof was for that alone: the same action on another asks anew.
	b.open("/admin/members/" + fajar.ID + "?lang=en")
	b.shot("member")
	_, err = chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS("button[value=roles]")))
	b.ok(err)
	b.until("the step-up for the roles", `document.querySelector("input[name=_for]")?.value === "member.manage"`, 5*time.Second)
	b.click(button)
	b.at("/admin/members/" + fajar.ID + "?sent=roles")

	// A second passkey, on another device; the step-up comes with the first.
	b.open("/settings/keys?lang=en")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("#name"), "phone")))
	b.authenticator(webauthn.AuthenticatorTransportUsb)
	b.click(button)
	b.until("the step-up for the key", `document.querySelector("input[name=_for]")?.value === "key.change"`, 5*time.Second)
	b.click(button)
	b.at("/settings/keys?sent=passkey_added")
	b.shot("keys")
	if n := eval[int](b, `document.querySelectorAll("button[value=remove_passkey]").length`); n != 2 {
		t.Fatalf("%d passkeys are listed, want 2", n)
	}
	again := func() {
		b.click("button[value=remove_passkey]")
		b.until("the step-up for removing", `document.querySelector("input[name=_for]")?.value === "key.change"`, 5*time.Second)
		b.click(button)
	}
	again()
	b.at("/settings/keys?sent=passkey_removed")
	again()
	b.until("the refusal to remove the last one", `document.body?.innerText.includes("last way to sign in") === true`, 5*time.Second)

	// What the browser sent once is not taken again.
	b.open("/sign-in")
	if p := w.post("nobody", "/sign-in", url.Values{"_key": {"x"}, "_ceremony": {"x"}, "_credential": {"{}"}}); p.status != http.StatusUnprocessableEntity {
		t.Errorf("a forged answer: %d", p.status)
	}
}
