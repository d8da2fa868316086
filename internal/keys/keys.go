// Package keys makes, keeps and uses the node's own keys.
//
// A data folder holds five, each in a file of its own with mode 0600:
//
//	keys/node.key     Ed25519 seed of the root key that certifies feed keys and
//	                  that edges pin, 64 hex digits
//	keys/journal.key  Ed25519 signer of checkpoints, as a note skey (C2SP note)
//	keys/feed.key     Ed25519 seed that signs the edge feed, 64 hex digits
//	keys/data.key     32 random bytes that seal small secrets at rest, 64 hex digits
//	keys/push.key     P-256 scalar by which push services know the node (VAPID,
//	                  RFC 8292), 64 hex digits; a node without it sends no web push
//
// Make creates them once; Load refuses files that others than their owner can
// read. Nothing here ever creates a key silently: a lost key is a new identity.
package keys

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/mod/sumdb/note"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Set is the node's keys.
type Set struct {
	Origin   string // name of the journal, the first line of its checkpoints
	Signer   note.Signer
	Verifier note.Verifier
	VKey     string             // verifier key in text form, for observers
	Node     ed25519.PrivateKey // root: certifies feed keys
	Feed     ed25519.PrivateKey
	Push     *ecdh.PrivateKey // for web push; nil if the node has none
	data     [chacha20poly1305.KeySize]byte
}

// NodePublic is the public root key, which edges pin.
func (s *Set) NodePublic() ed25519.PublicKey { return s.Node.Public().(ed25519.PublicKey) }

// FeedPublic is the public key of what signs the feed.
func (s *Set) FeedPublic() ed25519.PublicKey { return s.Feed.Public().(ed25519.PublicKey) }

const (
	journalFile = "journal.key"
	nodeFile    = "node.key"
	feedFile    = "feed.key"
	dataFile    = "data.key"
	pushFile    = "push.key"
	vkeyFile    = "journal.pub"
)

// Make creates the keys of a new node in dir, which it makes if needed. It is
// a Conflict if any is there already.
func Make(dir, origin string) (*Set, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of keys: %w", err)
	}
	for _, f := range []string{nodeFile, journalFile, feedFile, dataFile, pushFile} {
		if _, err := os.Lstat(filepath.Join(dir, f)); !errors.Is(err, fs.ErrNotExist) {
			return nil, problem.Newf(problem.Conflict, "%s holds keys already", dir).WithFix("use another folder, or start the node that is there with siaga serve")
		}
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("making the journal's key: %w", err)
	}
	_, node, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the node's key: %w", err)
	}
	_, feed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the feed's key: %w", err)
	}
	data := make([]byte, chacha20poly1305.KeySize)
	if _, err := io.ReadFull(rand.Reader, data); err != nil {
		return nil, fmt.Errorf("making the data key: %w", err)
	}
	push, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the push key: %w", err)
	}
	for _, f := range []struct {
		name, text string
		mode       fs.FileMode
	}{
		{journalFile, skey, 0o600},
		{nodeFile, hex.EncodeToString(node.Seed()), 0o600},
		{feedFile, hex.EncodeToString(feed.Seed()), 0o600},
		{dataFile, hex.EncodeToString(data), 0o600},
		{pushFile, hex.EncodeToString(push.Bytes()), 0o600},
		{vkeyFile, vkey, 0o644},
	} {
		if err := write(filepath.Join(dir, f.name), f.text+"\n", f.mode); err != nil {
			return nil, err
		}
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // best effort: the files themselves are synced
		_ = d.Close()
	}
	return Load(dir)
}

func write(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Load reads the keys. Missing ones are a problem of kind NotFound.
func Load(dir string) (*Set, error) {
	var s Set
	skey, err := read(dir, journalFile)
	if err != nil {
		return nil, err
	}
	if s.Signer, err = note.NewSigner(skey); err != nil {
		return nil, broken(dir, journalFile, err)
	}
	vkey, err := os.ReadFile(filepath.Join(dir, vkeyFile))
	if err != nil {
		return nil, broken(dir, vkeyFile, err)
	}
	s.VKey = strings.TrimSpace(string(vkey))
	if s.Verifier, err = note.NewVerifier(s.VKey); err != nil {
		return nil, broken(dir, vkeyFile, err)
	}
	s.Origin = s.Signer.Name()
	if s.Verifier.Name() != s.Signer.Name() || s.Verifier.KeyHash() != s.Signer.KeyHash() {
		return nil, broken(dir, vkeyFile, errors.New("it is another key's"))
	}
	for file, key := range map[string]*ed25519.PrivateKey{nodeFile: &s.Node, feedFile: &s.Feed} {
		seed, err := readHex(dir, file, ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		*key = ed25519.NewKeyFromSeed(seed)
	}
	data, err := readHex(dir, dataFile, len(s.data))
	if err != nil {
		return nil, err
	}
	copy(s.data[:], data)
	push, err := readHex(dir, pushFile, 32)
	if problem.KindOf(err) == problem.NotFound {
		return &s, nil // made by an earlier release
	}
	if err != nil {
		return nil, err
	}
	if s.Push, err = ecdh.P256().NewPrivateKey(push); err != nil {
		return nil, broken(dir, pushFile, err)
	}
	return &s, nil
}

func read(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", problem.Newf(problem.NotFound, "there is no key %s", path).WithFix("make a node with siaga init, or restore the folder from a backup; a new key would be a new identity")
	}
	if err != nil {
		return "", fmt.Errorf("reading a key: %w", err)
	}
	if !st.Mode().IsRegular() {
		return "", problem.Newf(problem.Invalid, "%s is not a regular file", path).WithFix("put the key file back")
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", problem.Newf(problem.Invalid, "%s can be read by others than its owner", path).WithFix("run chmod 600 %s", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading a key: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func readHex(dir, name string, n int) ([]byte, error) {
	text, err := read(dir, name)
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != n {
		return nil, broken(dir, name, errors.New("its text is damaged"))
	}
	return b, nil
}

func broken(dir, name string, err error) error {
	return problem.Newf(problem.Invalid, "the key %s cannot be used: %v", filepath.Join(dir, name), err).WithFix("restore it from a backup")
}

// Seal encrypts with XChaCha20-Poly1305 under the data key. The label is
// authenticated, so that a ciphertext cannot be moved to another place.
func (s *Set) Seal(plain []byte, label string) []byte {
	c, err := chacha20poly1305.NewX(s.data[:])
	if err != nil {
		panic("keys: " + err.Error()) // the key's size is right by its type
	}
	nonce := make([]byte, c.NonceSize(), c.NonceSize()+len(plain)+c.Overhead())
	if _, err := io.ReadFull(rand.Reader, nonce); err != nil {
		panic("keys: no randomness: " + err.Error())
	}
	return c.Seal(nonce, nonce, plain, []byte(label))
}

// Open decrypts what Seal made for the same label.
func (s *Set) Open(sealed []byte, label string) ([]byte, error) {
	c, err := chacha20poly1305.NewX(s.data[:])
	if err != nil {
		return nil, err
	}
	if len(sealed) < c.NonceSize() {
		return nil, errors.New("keys: sealed text is too short")
	}
	plain, err := c.Open(nil, sealed[:c.NonceSize()], sealed[c.NonceSize():], []byte(label))
	if err != nil {
		return nil, fmt.Errorf("keys: sealed text for %q does not open with this data key", label)
	}
	return plain, nil
}
