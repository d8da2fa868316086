package payment

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strings"

	"github.com/btcsuite/btcd/btcutil/base58"
	"github.com/btcsuite/btcd/btcutil/bech32"
	"golang.org/x/crypto/sha3"
)

const (
	errCheck     = syntaxError("The address does not fit its own checksum: a character is wrong or missing. Compare it with the source, upper and lower case too")
	errBase58    = syntaxError("The address has a character that such addresses never have (0, O, I, l or a sign). Compare it with the source")
	errTestnet   = syntaxError("This address is for tests and can hold no money. Enter one of the main network")
	errMixed     = syntaxError("The address mixes upper and lower case, so part of it is wrong. Compare it with the source")
	errBech32    = syntaxError("The address has a character that such addresses never have (1, b, i, o or a sign). Compare it with the source")
	errWitness   = syntaxError("The address has a length or version that no address of its kind has. Compare it with the source")
	errBTC       = syntaxError("This is not a Bitcoin address. One begins with 1, 3 or bc1; enter all of it")
	errLTC       = syntaxError("This is not a Litecoin address. One begins with L, M or ltc1; enter all of it")
	errDOGE      = syntaxError("This is not a Dogecoin address. One begins with D, A or 9; enter all of it")
	errTRON      = syntaxError("This is not a TRON address. One begins with T and has 34 characters; enter all of it")
	errETHLength = syntaxError("An Ethereum address has 0x and 40 hex digits. Enter all of it")
	errETHDigit  = syntaxError("The Ethereum address has a character other than digits and a to f after 0x. Compare it with the source")
	errETHCase   = syntaxError("The capitals of the Ethereum address do not fit its digits, so a digit is wrong (EIP-55). Compare it with the source; if the source has no capitals, enter it without")
	errXMR       = syntaxError("This is not a Monero address. One begins with 4 or 8 and has 95 characters (106 with a payment ID); enter all of it")
	errTON       = syntaxError("This is not a TON address. One has 48 characters and begins with EQ or UQ, or is 0: and 64 hex digits; enter all of it")
)

// coin is a coin of Bitcoin's family.
type coin struct {
	system   string
	versions string // Base58Check version bytes of the main network
	tests    string // and of test networks
	hrp      string // of segregated witness addresses; "" for none
	testHRPs []string
	err      error // not an address of this coin at all
}

var (
	bitcoin  = coin{"btc", "\x00\x05", "\x6f\xc4", "bc", []string{"tb", "bcrt"}, errBTC}
	litecoin = coin{"ltc", "\x30\x32", "\x6f\xc4\x3a", "ltc", []string{"tltc", "rltc"}, errLTC}
	dogecoin = coin{"doge", "\x1e\x16", "\x71\xc4", "", nil, errDOGE}
)

func readBTC(s string) (Handle, error)  { return bitcoin.read(inPayURI(s)) }
func readLTC(s string) (Handle, error)  { return litecoin.read(inPayURI(s)) }
func readDOGE(s string) (Handle, error) { return dogecoin.read(inPayURI(s)) }

func (c *coin) read(s string) (Handle, error) {
	low := strings.ToLower(s)
	if c.hrp != "" {
		if strings.HasPrefix(low, c.hrp+"1") {
			return c.readWitness(s)
		}
		for _, hrp := range c.testHRPs {
			if strings.HasPrefix(low, hrp+"1") {
				return Handle{}, errTestnet
			}
		}
	}
	if len(s) < 25 || len(s) > 35 {
		return Handle{}, c.err
	}
	payload, version, err := checkBase58(s)
	if err != nil {
		return Handle{}, err
	}
	switch {
	case len(payload) != 20:
		return Handle{}, c.err
	case strings.IndexByte(c.versions, version) >= 0:
		return newHandle(c.system + ":" + s), nil
	case strings.IndexByte(c.tests, version) >= 0:
		return Handle{}, errTestnet
	}
	return Handle{}, c.err
}

// checkBase58 decodes Base58Check: a version byte, a payload and the first four
// bytes of the doubled SHA-256 of both.
func checkBase58(s string) (payload []byte, version byte, err error) {
	payload, version, err = base58.CheckDecode(s)
	switch err {
	case nil:
		return payload, version, nil
	case base58.ErrChecksum:
		return nil, 0, errCheck
	}
	return nil, 0, errBase58
}

// readWitness reads a segregated witness address (BIP 173, BIP 350).
func (c *coin) readWitness(s string) (Handle, error) {
	low := strings.ToLower(s)
	if s != low && s != strings.ToUpper(s) {
		return Handle{}, errMixed
	}
	if len(low) < 14 || len(low) > 90 {
		return Handle{}, errWitness
	}
	if strings.Trim(low[len(c.hrp)+1:], "qpzry9x8gf2tvdw0s3jn54khce6mua7l") != "" {
		return Handle{}, errBech32
	}
	hrp, data, version, err := bech32.DecodeGeneric(low)
	if err != nil || hrp != c.hrp {
		return Handle{}, errCheck
	}
	if len(data) == 0 || data[0] > 16 {
		return Handle{}, errWitness
	}
	program, err := bech32.ConvertBits(data[1:], 5, 8, false)
	if err != nil || len(program) < 2 || len(program) > 40 {
		return Handle{}, errWitness
	}
	if data[0] == 0 {
		if len(program) != 20 && len(program) != 32 {
			return Handle{}, errWitness
		}
		if version != bech32.Version0 {
			return Handle{}, errCheck
		}
	} else if version != bech32.VersionM {
		return Handle{}, errCheck
	}
	return newHandle(c.system + ":" + low), nil
}

// readTRON reads a TRON address: Base58Check of 0x41 and 20 bytes, or those 21
// bytes in hex as TRON's interfaces write them.
func readTRON(s string) (Handle, error) {
	s = inPayURI(s)
	if len(s) == 42 && strings.HasPrefix(s, "41") {
		if b, err := hex.DecodeString(s); err == nil {
			return newHandle("tron:" + base58.CheckEncode(b[1:], b[0])), nil
		}
	}
	if len(s) != 34 || s[0] != 'T' {
		return Handle{}, errTRON
	}
	payload, version, err := checkBase58(s)
	if err != nil {
		return Handle{}, err
	}
	if version != 0x41 || len(payload) != 20 {
		return Handle{}, errTRON
	}
	return newHandle("tron:" + s), nil
}

// readETH reads an Ethereum address and writes it with the capitals of EIP-55.
// Without capitals, or with nothing else, there is nothing to check.
func readETH(s string) (Handle, error) {
	s = strings.TrimPrefix(inPayURI(s), "pay-")
	if len(s) != 42 || s[0] != '0' || s[1]|0x20 != 'x' {
		return Handle{}, errETHLength
	}
	digits := s[2:]
	low := strings.ToLower(digits)
	if _, err := hex.DecodeString(low); err != nil {
		return Handle{}, errETHDigit
	}
	want := eip55(low)
	if digits != low && digits != strings.ToUpper(digits) && digits != want {
		return Handle{}, errETHCase
	}
	return newHandle("eth:0x" + want), nil
}

// eip55 writes 40 lower-case hex digits with the capitals of EIP-55: a letter is
// a capital where the same digit of the digits' Keccak-256 is 8 or more.
func eip55(low string) string {
	h := sha3.NewLegacyKeccak256()
	_, _ = h.Write([]byte(low)) // a hash never fails
	sum := h.Sum(nil)
	out := []byte(low)
	for i, c := range out {
		if d := sum[i/2] >> (4 * (1 - i%2)) & 0xf; c >= 'a' && d >= 8 {
			out[i] = c - 'a' + 'A'
		}
	}
	return string(out)
}

// readXMR reads a Monero address: network byte, two keys of 32 bytes (and a
// payment ID of 8), four bytes of their Keccak-256, in Monero's base 58.
func readXMR(s string) (Handle, error) {
	s = inPayURI(s)
	if len(s) != 95 && len(s) != 106 {
		return Handle{}, errXMR
	}
	b, err := moneroBase58(s)
	if err != nil {
		return Handle{}, err
	}
	h := sha3.NewLegacyKeccak256()
	_, _ = h.Write(b[:len(b)-4]) // a hash never fails
	if string(h.Sum(nil)[:4]) != string(b[len(b)-4:]) {
		return Handle{}, errCheck
	}
	switch network := b[0]; {
	case len(s) == 95 && (network == 18 || network == 42), len(s) == 106 && network == 19:
		return newHandle("xmr:" + s), nil
	case network == 53 || network == 54 || network == 63 || network == 24 || network == 25 || network == 36:
		return Handle{}, errTestnet
	}
	return Handle{}, errXMR
}

const alphabet58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// moneroBase58 decodes base 58 in blocks of 11 characters for 8 bytes, and a
// last shorter block (Monero, src/common/base58.cpp).
func moneroBase58(s string) ([]byte, error) {
	sizes := [12]int{2: 1, 3: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8} // bytes by characters
	var out []byte
	for len(s) > 0 {
		n := min(11, len(s))
		var v uint64
		for _, c := range []byte(s[:n]) {
			d := strings.IndexByte(alphabet58, c)
			if d < 0 {
				return nil, errBase58
			}
			hi, lo := bits.Mul64(v, 58)
			sum, carry := bits.Add64(lo, uint64(d), 0)
			if hi != 0 || carry != 0 {
				return nil, errCheck
			}
			v = sum
		}
		size := sizes[n]
		if size < 8 && v>>(8*size) != 0 {
			return nil, errCheck
		}
		var block [8]byte
		binary.BigEndian.PutUint64(block[:], v)
		out = append(out, block[8-size:]...)
		s = s[n:]
	}
	return out, nil
}

// readTON reads a TON address (TEP-2): flags, workchain, hash and CRC-16 in base
// 64, or workchain:hash. The flags say how to send, not where, so the canonical
// form is workchain:hash.
func readTON(s string) (Handle, error) {
	s = strip(s, " ")
	if rest, ok := strings.CutPrefix(s, "//transfer/"); ok {
		s, _, _ = strings.Cut(rest, "?")
	}
	if chain, digits, ok := strings.Cut(s, ":"); ok && (chain == "0" || chain == "-1") {
		digits = strings.ToLower(digits)
		if b, err := hex.DecodeString(digits); err == nil && len(b) == sha256.Size {
			return newHandle("ton:" + chain + ":" + digits), nil
		}
		return Handle{}, errTON
	}
	if len(s) != 48 {
		return Handle{}, errTON
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(s))
	if err != nil {
		return Handle{}, errTON
	}
	if crc16(b[:34]) != binary.BigEndian.Uint16(b[34:]) {
		return Handle{}, errCheck
	}
	chain := map[byte]string{0x00: "0", 0xff: "-1"}[b[1]]
	switch flags := b[0]; {
	case flags&0x80 != 0:
		return Handle{}, errTestnet
	case (flags != 0x11 && flags != 0x51) || chain == "":
		return Handle{}, errTON
	}
	return newHandle("ton:" + chain + ":" + hex.EncodeToString(b[2:34])), nil
}

// crc16 is CRC-16/XMODEM.
func crc16(b []byte) uint16 {
	var crc uint16
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
