// Package link gives addresses, domains, and the channels and accounts of
// online services one canonical text form each, so that two spellings of one
// place become byte for byte equal.
//
// # Address
//
// ParseURL reads an address as the URL Standard (url.spec.whatwg.org) does, as
// browsers do, after undoing what people do to addresses so that they cannot be
// clicked by accident (hxxp, [.], (dot), [://]). The canonical form is the
// standard's serialisation with these further rules, in this order:
//
//  1. http becomes https where the port is the scheme's own: both name one page,
//     and browsers ask for https by themselves. Any other port keeps its scheme.
//  2. User name and password are dropped: they do not say where something is.
//  3. A host's last dot is dropped; a host is lower case, in punycode.
//  4. In path, query and fragment, percent-encoding follows RFC 3986, section
//     6.2.2: hex digits in upper case, unreserved characters not encoded, and a
//     percent sign that encodes nothing encoded itself.
//  5. Query parameters that only say how a reader came here (utm_source, fbclid
//     and the others of params.go) are dropped, as are empty ones. The others
//     keep their order.
//  6. The fragment is dropped, as it names a place inside the document, unless
//     it begins with / or !, which is how single-page services write the path.
//  7. An address of a forwarding page (redirects.go) becomes the address that it
//     forwards to.
//  8. On the services of services.go, the different addresses of one thing
//     become one: youtu.be/ID, youtube.com/shorts/ID and m.youtube.com/watch?v=ID
//     are https://www.youtube.com/watch?v=ID.
//  9. magnet: keeps the torrent's hash only; tg:, whatsapp: and the like become
//     the web address of the same thing.
//
// A canonical address is a name to compare by. It is close to what was entered
// but need not open (a site without https, a file whose key was in the
// fragment), so keep what was entered beside it where people must follow it or
// an order must quote it.
//
// # Domain
//
// ParseDomain reads a registrable domain (by the public suffix list) or a host
// under one. The canonical form is lower case, in punycode, without www. before
// a registrable domain and without the last dot. A domain covers the hosts under
// it; Domain.Covers says so and URL.Domains lists the domains to look up.
//
// # Channel
//
// ParseChannel reads the account, channel, group or page of a service. The
// canonical form is service:name, in which each service's own rules say whether
// case and dots count: telegram:kabarseroja, youtube:@kabarseroja,
// youtube:UC4QobU6STFB0P71PMvOGN5A, whatsapp:channel/0029Va4K0PZ5a245NkngBA2M.
//
// # Promises
//
// Parsing is idempotent: parsing a canonical form returns it unchanged. Input is
// bounded by MaxLength. An error is one sentence that says what to enter
// instead; it wraps ErrSyntax and does not repeat the input, which may be
// personal data. Nothing here resolves a name or opens an address: short
// addresses (bit.ly and the like) stay as they are. The package keeps no state;
// all functions may be called concurrently.
package link

import "errors"

// MaxLength is the length of the longest address that is read, in bytes.
// Longer ones carry data rather than name a place: servers and browsers agree on
// no more than about 2,000. The bound also keeps the worst case short, as some of
// the URL parser's work grows with the square of the length.
const MaxLength = 4096

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("link: not an address, domain or channel")

// syntaxError is a sentence for the person who entered the value.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

func (e syntaxError) Unwrap() error { return ErrSyntax }

// enter is what to do about most addresses that cannot be read.
const enter = "Enter the address as the browser shows it, starting with https://"

const (
	errAddress = syntaxError(enter)
	errSpace   = syntaxError("The address has a space in it. Enter one address a line, with %20 where it has a space")
	errScheme  = syntaxError("Addresses of this kind do not name a place that others can find. " + enter)
	errHost    = syntaxError("The host name of the address is not one that can exist. " + enter)
	errChain   = syntaxError("The address leads to a forwarding page of a forwarding page, too many times. " + enter)
	errPort    = syntaxError("The port of the address is not a number from 0 to 65535. " + enter)
	errMagnet  = syntaxError("The magnet link has no torrent hash. Enter all of it: magnet:?xt=urn:btih: and 40 hex digits")
)
