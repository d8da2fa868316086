// Package fingerprint names the fingerprints that partners share and gives
// each kind one canonical text form.
//
// A fingerprint is a Kind and a value. The value always travels in the kind's
// canonical text form, which Parse makes from what people type (upper case,
// spaces, defanged addresses) and which two programs can compare byte for
// byte. Distance between two values is defined by the kind's own package
// (pdq, vpdq, local, audio, digest, text, link, payment); this package does no I/O
// and keeps no state.
package fingerprint

import "errors"

// Kind says how a fingerprint was computed, and so how two are compared.
type Kind string

// The closed list of kinds.
const (
	PDQ     Kind = "pdq"     // perceptual hash of a picture: 64 hex digits, compared by Hamming distance
	VPDQ    Kind = "vpdq"    // PDQ hashes of a video's frames, compared by share of frames
	Local   Kind = "local"   // keypoint descriptors of a picture, for altered copies
	Audio   Kind = "audio"   // Chromaprint of a video's sound: weak evidence, for review only
	SHA256  Kind = "sha256"  // digest of the bytes: 64 hex digits, equal or not
	MD5     Kind = "md5"     // digest of the bytes, kept for older lists: 32 hex digits
	TLSH    Kind = "tlsh"    // locality-sensitive hash of a text or document
	URL     Kind = "url"     // address in WHATWG canonical form
	Domain  Kind = "domain"  // registrable domain or host
	Channel Kind = "channel" // account or channel of a service: service:name
	Payment Kind = "payment" // payment handle: system:handle, or its keyed hash
)

// Kinds lists every kind, in the order in which pages and reports show them.
func Kinds() []Kind {
	return []Kind{PDQ, VPDQ, Local, Audio, SHA256, MD5, TLSH, URL, Domain, Channel, Payment}
}

// ErrKind is returned for a kind that is not in Kinds.
var ErrKind = errors.New("fingerprint: unknown kind")

// ErrSyntax is wrapped by every error about a value that is not of its kind's
// form. The wrapping error says what is wrong and what the form is.
var ErrSyntax = errors.New("fingerprint: not of this kind's form")

// Value is one fingerprint: a kind and the value in canonical text form.
// It is comparable and may be a map key.
type Value struct {
	Kind Kind   `json:"kind"`
	Text string `json:"value"`
}
