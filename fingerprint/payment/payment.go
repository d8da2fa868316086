// Package payment reads payment handles: where money can be sent to. Each has
// one canonical text form, system:handle, and is checked as far as its system
// lets it be: checksums, lengths, number plans.
//
//	iban:GB29NWBK60161331926819              ISO 13616, check digits by ISO 7064 MOD 97-10
//	btc:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4   Bitcoin: Base58Check (version 0 and 5), BIP 173, BIP 350
//	eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed   Ethereum and what shares its addresses, written by EIP-55
//	tron:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t  TRON: Base58Check, version 0x41
//	ltc:… doge:… xmr:… ton:…                 Litecoin, Dogecoin, Monero, TON
//	wallet.gcash:+639171234567               a telephone number with a wallet (wallets.go)
//	hmac:KEYID:64 hex digits                 the keyed hash of any of the above
//
// # Secrecy
//
// A handle is personal data. A Handle therefore prints masked, however it is
// printed: at most the first two and the last four characters, and none of a
// short one. Only Reveal returns the whole. A Handle does not encode itself as
// JSON or text, so that none is written by accident. Errors never repeat what
// was entered.
//
// # Sharing without telling
//
// Key.Hash makes the keyed form: HMAC-SHA-256 (RFC 2104) of the canonical text
// in UTF-8 under the secret of a list, written hmac:KEYID:hex. Who has the key
// can test a handle that it knows, and compare; who has not learns nothing. Who
// has the key can also try all telephone numbers, so a key is given only to
// those who may see the handles of wallets.
//
// Parsing is idempotent. Input is bounded by MaxLength. The package does no I/O;
// all functions may be called concurrently.
package payment

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unique"

	"github.com/siaga-crp/siaga/fingerprint/paste"
)

// MaxLength is the length of the longest text that is read as a handle, in
// bytes.
const MaxLength = 512

var (
	// ErrSyntax is wrapped by every error about a handle that cannot be read.
	ErrSyntax = errors.New("payment: not a payment handle")

	// ErrMasked is returned when a handle is to be encoded as text or JSON.
	ErrMasked = errors.New("payment: a handle is not encoded by itself; encode Reveal or Masked")
)

// syntaxError is a sentence for the person who entered the handle. It must not
// repeat any of it.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

func (e syntaxError) Unwrap() error { return ErrSyntax }

// Handle is a payment handle. Two are equal (==) exactly when their canonical
// texts are. The zero value is none.
type Handle struct {
	// The text stands behind a pointer, so that even fmt's %+v of a struct
	// that holds a Handle in an unexported field, where fmt calls no methods,
	// prints an address of memory and not the text.
	text unique.Handle[string]
}

func newHandle(text string) Handle { return Handle{unique.Make(text)} }

// IsZero reports whether h is the zero value.
func (h Handle) IsZero() bool { return h == Handle{} }

// Reveal returns the canonical text, or "" for the zero value. It is personal
// data: it belongs in storage and in what a reader with the right to it asked
// for, never in a log, a URL, a metric or an error.
func (h Handle) Reveal() string {
	if h.IsZero() {
		return ""
	}
	return h.text.Value()
}

// System returns what stands before the first colon: iban, btc, eth, tron, ltc,
// doge, xmr, ton, wallet.ID or hmac.
func (h Handle) System() string {
	system, _, _ := strings.Cut(h.Reveal(), ":")
	return system
}

// IsKeyed reports whether h is a keyed hash.
func (h Handle) IsKeyed() bool { return h.System() == "hmac" }

// KeyID returns the ID of the key of a keyed hash, else "".
func (h Handle) KeyID() string {
	if !h.IsKeyed() {
		return ""
	}
	id, _, _ := strings.Cut(h.Reveal()[len("hmac:"):], ":")
	return id
}

// Masked returns the text that may be shown: the system, the first two and the
// last four characters of the handle (of a keyed hash: of its digits), with an
// ellipsis between. Of a handle with fewer than ten characters it shows none.
func (h Handle) Masked() string {
	text := h.Reveal()
	if text == "" {
		return ""
	}
	i := strings.LastIndexByte(text, ':') + 1
	head, rest := text[:i], text[i:]
	if len(rest) < 10 {
		return head + "…"
	}
	return head + rest[:2] + "…" + rest[len(rest)-4:]
}

// String returns Masked.
func (h Handle) String() string { return h.Masked() }

// GoString returns Masked.
func (h Handle) GoString() string { return "payment.Handle(" + h.Masked() + ")" }

// Format prints Masked, whatever the verb.
func (h Handle) Format(s fmt.State, verb rune) {
	text := h.Masked()
	switch verb {
	case 'q':
		text = strconv.Quote(text)
	case 'v':
		if s.Flag('#') {
			text = h.GoString()
		}
	}
	_, _ = io.WriteString(s, text) // fmt.State reports no error to its caller
}

// LogValue returns Masked.
func (h Handle) LogValue() slog.Value { return slog.StringValue(h.Masked()) }

// MarshalText returns ErrMasked.
func (h Handle) MarshalText() ([]byte, error) { return nil, ErrMasked }

const (
	errHandle    = syntaxError("Enter the payment handle as system:handle, for instance iban:…, btc:…, eth:…, tron:… or gcash:…")
	errForm      = syntaxError("This is not a payment handle that we can read. Write its system in front, for instance iban:, btc:, eth:, tron: or gcash:")
	errUnknown   = syntaxError("This payment system is not known. Known ones are iban, btc, eth, tron, ltc, doge, xmr, ton and wallets such as gcash, gopay, promptpay")
	errPhoneOnly = syntaxError("A telephone number alone does not say where the money goes. Write the wallet in front, for instance gcash: or gopay:")
)

// Parse reads a handle from its canonical text, from what people write (an IBAN
// in groups, bitcoin:… as QR codes have it, GCash 0917 123 4567), or bare where
// the form says which system it is. The errors are sentences that wrap
// ErrSyntax.
func Parse(text string) (Handle, error) {
	text, err := paste.Clean(text, MaxLength)
	if err != nil {
		if err == paste.ErrEmpty {
			return Handle{}, errHandle
		}
		return Handle{}, syntaxError(err.Error())
	}
	text = paste.Narrow(text)
	if system, rest, ok := cutSystem(text); ok {
		return system(rest)
	}
	if name, rest, ok := strings.Cut(text, ":"); ok && name != "" && rest != "" {
		return Handle{}, errUnknown
	}
	return parseBare(text)
}

// Like reports whether a text is a handle in clear, or one with a mistake in it,
// so that it must not be handled as a mere word. A keyed hash is none, nor is a
// number alone that may as well count something; names, words and the hex
// digits of other fingerprints are none either.
func Like(text string) bool {
	h, err := Parse(text)
	if err == nil {
		return !h.IsKeyed()
	}
	compact := strip(paste.Narrow(text), " -.()")
	digits := 0
	for i := range len(compact) {
		if isDigit(compact[i]) {
			digits++
		}
	}
	switch err {
	case errPhoneOnly:
		return digits >= 9 && (compact[0] == '+' || compact[0] == '0')
	case errHandle, errForm, errUnknown:
		return false
	}
	if _, _, named := cutSystem(paste.Narrow(text)); !named && strings.Trim(strings.ToLower(compact), "0123456789abcdef") == "" {
		return false // the digits of an MD5
	}
	return digits >= 6
}

// A reader reads what follows the name of a system.
type reader func(string) (Handle, error)

// cutSystem separates the name of a system from the handle: before a colon, or
// else after the last word (Touch 'n Go 012 345 6789) or the first one (iban
// GB29 NWBK …).
func cutSystem(text string) (reader, string, bool) {
	if name, rest, ok := strings.Cut(text, ":"); ok {
		r := findReader(name)
		return r, strings.TrimLeft(rest, " "), r != nil
	}
	ends := [2]int{strings.LastIndexFunc(text, isLetter) + 1, strings.IndexByte(text, ' ')}
	for _, i := range ends {
		if i <= 0 || i >= len(text) || strings.IndexByte(" +(", text[i]) < 0 {
			continue
		}
		if r := findReader(text[:i]); r != nil {
			return r, strings.TrimLeft(text[i:], " "), true
		}
	}
	return nil, "", false
}

// findReader finds the reader of a system by a name that people write, or
// returns nil.
func findReader(name string) reader {
	name = strings.ToLower(strings.TrimSpace(name))
	if r := readers[name]; r != nil {
		return r
	}
	if w := findWallet(strings.TrimPrefix(name, "wallet.")); w != nil {
		return w.read
	}
	return nil
}

// readers finds a system by its names.
var readers = map[string]reader{
	"iban": readIBAN,
	"btc":  readBTC, "bitcoin": readBTC,
	"eth": readETH, "ethereum": readETH, "erc20": readETH, "bnb": readETH, "bsc": readETH, "bep20": readETH, "polygon": readETH,
	"tron": readTRON, "trx": readTRON, "trc20": readTRON,
	"ltc": readLTC, "litecoin": readLTC,
	"doge": readDOGE, "dogecoin": readDOGE,
	"xmr": readXMR, "monero": readXMR,
	"ton": readTON, "toncoin": readTON,
	"hmac": readKeyed,
}

// parseBare reads a handle whose form says which system it is.
func parseBare(text string) (Handle, error) {
	compact := strip(text, " -")
	low := strings.ToLower(compact)
	switch {
	case strings.HasPrefix(low, "0x"):
		return readETH(compact)
	case compact != low && compact != strings.ToUpper(compact) && (strings.HasPrefix(low, "tb1") || strings.HasPrefix(low, "ltc1")):
		// TB1… may be TRON's, Ltc1… Litecoin's; what mixes its case is no bech32.
		if coin, err := bareCoin(compact); err == nil {
			return coin, nil
		}
		return Handle{}, errMixed
	case strings.HasPrefix(low, "bc1"), strings.HasPrefix(low, "tb1"), strings.HasPrefix(low, "bcrt1"):
		return readBTC(compact)
	case strings.HasPrefix(low, "ltc1"):
		return readLTC(compact)
	case len(low) >= 15 && isLetter(rune(low[0])) && isLetter(rune(low[1])) && isDigit(low[2]) && isDigit(low[3]) && ibanForm(compact):
		h, err := readIBAN(compact)
		if err != nil {
			// A coin's address may begin like an IBAN (MD21… is Litecoin's or
			// Moldova's). Only one of them has the right checksum.
			if coin, coinErr := bareCoin(compact); coinErr == nil {
				return coin, nil
			}
		}
		return h, err
	case strings.Trim(compact, "+0123456789()./") == "":
		if len(compact) >= 7 && len(compact) <= 20 {
			return Handle{}, errPhoneOnly
		}
		return Handle{}, errForm
	}
	switch n := len(compact); {
	case (n == 95 || n == 106) && (compact[0] == '4' || compact[0] == '8'):
		return readXMR(compact)
	case (strings.HasPrefix(compact, "EQ") || strings.HasPrefix(compact, "UQ")) && len(strip(text, " ")) == 48:
		return readTON(text)
	}
	return bareCoin(compact)
}

// bareCoin reads an address in Base58Check by its first character.
func bareCoin(s string) (Handle, error) {
	if len(s) < 25 || len(s) > 35 {
		return Handle{}, errForm
	}
	switch s[0] {
	case '1', '3', 'm', 'n', '2': // the last three are for tests, which the reader says
		return readBTC(s)
	case 'T':
		return readTRON(s)
	case 'L', 'M':
		return readLTC(s)
	case 'D', 'A', '9':
		return readDOGE(s)
	}
	return Handle{}, errForm
}

// strip removes the characters of cut from s.
func strip(s, cut string) string {
	if !strings.ContainsAny(s, cut) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(cut, r) {
			return -1
		}
		return r
	}, s)
}

func isLetter(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// inPayURI takes the address out of a payment URI's rest: bitcoin:ADDRESS?amount=…
// (BIP 21), ethereum:pay-ADDRESS@1/transfer?… (ERC-681).
func inPayURI(s string) string {
	s = strings.TrimPrefix(s, "//")
	if i := strings.IndexAny(s, "?@/#"); i >= 0 {
		s = s[:i]
	}
	return strip(s, " ")
}
