package payment_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/btcsuite/btcd/btcutil/base58"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint/payment"
)

// parse reads a handle that must be one, and holds it to its promises.
func parse(t *testing.T, text string) payment.Handle {
	t.Helper()
	h, err := payment.Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	if again, err := payment.Parse(h.Reveal()); err != nil || again != h {
		t.Fatalf("Parse(%q) = %q, Parse of that = %q, %v", text, h.Reveal(), again.Reveal(), err)
	}
	return h
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"IBAN in groups", "GB29 NWBK 6016 1331 9268 19", "iban:GB29NWBK60161331926819"},
		{"IBAN in lower case", "gb29nwbk60161331926819", "iban:GB29NWBK60161331926819"},
		{"IBAN with its name", "IBAN GB29 NWBK 6016 1331 9268 19", "iban:GB29NWBK60161331926819"},
		{"IBAN with its name and a colon", "IBAN: DE89 3704 0044 0532 0130 00", "iban:DE89370400440532013000"},
		{"IBAN in full width", "ＧＢ２９ＮＷＢＫ６０１６１３３１９２６８１９", "iban:GB29NWBK60161331926819"},
		{"IBAN with invisible characters", "\u202aGB29\u00a0NWBK\u200b60161331926819\u202c", "iban:GB29NWBK60161331926819"},
		{"IBAN outside the registry", "MA64011519000001205000534921", "iban:MA64011519000001205000534921"},

		// The genesis block's; the Bitcoin wiki's examples of addresses.
		{"Bitcoin P2PKH", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"},
		{"Bitcoin P2SH", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "btc:3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"},
		{"Bitcoin URI (BIP 21)", "bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa?amount=50&label=Luke-Jr", "btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"},
		{"Bitcoin URI in capitals, as in QR codes", "BITCOIN:BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "btc:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},
		{"Bitcoin with its name", "BTC bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "btc:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},

		{"Litecoin that begins like an IBAN of Moldova", "MD21CVkd6BLRjnHhRhsgyS4ed3dEhYLLLr", "ltc:MD21CVkd6BLRjnHhRhsgyS4ed3dEhYLLLr"},

		{"Ethereum without capitals", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
		{"Ethereum in capitals", "0X5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED", "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
		{"Ethereum URI (ERC-681)", "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed@1/transfer?uint256=1", "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
		{"Ethereum URI with pay-", "ethereum:pay-0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},

		// The contract of USDT, in both of the forms that TRON's explorer shows.
		{"TRON", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "tron:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"},
		{"TRON in hex", "tron:41a614f803b6fd780986a42c78ec9c7f77e6ded13c", "tron:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"},
		{"TRON by a token's name", "TRC20: TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "tron:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"},

		// The donation addresses of the Monero project.
		{"Monero", "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A", "xmr:44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A"},
		{"Monero subaddress", "monero:888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H?tx_amount=1", "xmr:888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H"},

		// TEP-2's example, bounceable and not, and raw.
		{"TON", "EQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPrHF", "ton:0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e"},
		{"TON, not bounceable", "UQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPuwA", "ton:0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e"},
		{"TON, other alphabet", "ton:EQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff+W72r5gqPrHF", "ton:0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e"},
		{"TON, raw", "ton:0:CA6E321C7CCE9ECEDF0A8CA2492EC8592494AA5FB5CE0387DFF96EF6AF982A3E", "ton:0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e"},
		{"TON link", "ton://transfer/EQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPrHF?amount=1", "ton:0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e"},

		{"GCash", "GCash 0917 123 4567", "wallet.gcash:+639171234567"},
		{"GCash, canonical", "wallet.gcash:+639171234567", "wallet.gcash:+639171234567"},
		{"GCash, country code without plus", "gcash: 63 917 123 4567", "wallet.gcash:+639171234567"},
		{"GCash, 00", "gcash: 0063 917 123 4567", "wallet.gcash:+639171234567"},
		{"GCash, trunk prefix after the country code", "gcash: +63 (0)917 123 4567", "wallet.gcash:+639171234567"},
		{"GCash, bare national number", "gcash: 9171234567", "wallet.gcash:+639171234567"},
		{"GoPay", "GoPay 0812-3456-7890", "wallet.gopay:+6281234567890"},
		{"OVO in Arabic digits", "ovo: ٠٨١٢٣٤٥٦٧٨٩٠", "wallet.ovo:+6281234567890"},
		{"PromptPay in Thai digits", "promptpay ๐๘๑ ๒๓๔ ๕๖๗๘", "wallet.promptpay:+66812345678"},
		{"PromptPay's own name", "พร้อมเพย์ 081 234 5678", "wallet.promptpay:+66812345678"},
		{"PromptPay to an identification number", "promptpay: 1-1017-00230-70-8", "wallet.promptpay:id1101700230708"},
		{"PromptPay to a wallet", "promptpay: 004999000288505", "wallet.promptpay:ewallet004999000288505"},
		{"PayNow", "paynow +65 9123 4567", "wallet.paynow:+6591234567"},
		{"PayNow to a company", "PayNow: 201912345k", "wallet.paynow:uen201912345K"},
		{"PayNow to a society", "PayNow: T08LL1234A", "wallet.paynow:uenT08LL1234A"},
		{"Touch 'n Go", "Touch 'n Go eWallet 012-345 6789", "wallet.tng:+60123456789"},
		{"MoMo", "momo 0912 345 678", "wallet.momo:+84912345678"},
		{"KBZPay", "kbzpay 09 512 345 678", "wallet.kbzpay:+959512345678"},
		{"bKash", "bKash: 01712-345678", "wallet.bkash:+8801712345678"},
		{"wallet of several countries", "grabpay +62 812 3456 7890", "wallet.grabpay:+6281234567890"},

		{"keyed", "hmac:list-1:" + strings.Repeat("0a", 32), "hmac:list-1:" + strings.Repeat("0a", 32)},
		{"keyed in capitals", "HMAC:LIST-1:" + strings.Repeat("0A", 32), "hmac:list-1:" + strings.Repeat("0a", 32)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parse(t, c.in).Reveal(); got != c.want {
				t.Errorf("Parse(%q)\n got %s\nwant %s", c.in, got, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", " ", "Enter the payment handle as system:handle, for instance iban:…, btc:…, eth:…, tron:… or gcash:…"},
		{"word", "seroja", "This is not a payment handle that we can read. Write its system in front, for instance iban:, btc:, eth:, tron: or gcash:"},
		{"unknown system", "seroja:123", "This payment system is not known. Known ones are iban, btc, eth, tron, ltc, doge, xmr, ton and wallets such as gcash, gopay, promptpay"},
		{"telephone number alone", "0917 123 4567", "A telephone number alone does not say where the money goes. Write the wallet in front, for instance gcash: or gopay:"},
		{"NUL", "GB29NWBK\x0060161331926819", "The text has a NUL byte (a byte of value 0) in it. Copy the value again, as plain text"},
		{"too long", "btc:" + strings.Repeat("1", 600), "This is too long to be one value. Enter one value a line"},

		{"IBAN too short", "GB29NWBK6016133192681", "The IBAN has 21 characters; one from GB has 22. Compare it with the source"},
		{"IBAN of nowhere", "iban:XX29NWBK60161331926819", "The first two letters of the IBAN are not of a country that has IBANs. Compare it with the source"},
		{"IBAN with a wrong digit", "GB29NWBK60161331926818", "The check digits of the IBAN do not fit: a character is wrong, or two have changed places. Compare it with the source"},
		{"IBAN with two digits swapped", "GB29NWBK60161331962819", "The check digits of the IBAN do not fit: a character is wrong, or two have changed places. Compare it with the source"},
		{"IBAN with check digits that are never made", "iban:AD9900012030200359100112", "The check digits of the IBAN do not fit: a character is wrong, or two have changed places. Compare it with the source"},
		{"IBAN with a letter for a digit", "GB29NWBK6O161331926819", "The character at place 10 of the IBAN should be a digit, as it is from GB. Compare it with the source"},
		{"IBAN with a digit for a letter", "GB2912BK60161331926819", "The character at place 5 of the IBAN should be a letter, as it is from GB. Compare it with the source"},
		{"IBAN with a sign", "iban:GB29NWBK6016133192681_", "The IBAN has a character other than letters and digits. Enter it as the bank writes it"},
		{"IBAN without check digits", "iban:NWBK60161331926819", "An IBAN begins with two letters for the country and two digits. Enter all of it, as the bank writes it"},

		{"Bitcoin with a wrong character", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "The address does not fit its own checksum: a character is wrong or missing. Compare it with the source, upper and lower case too"},
		{"Bitcoin in the wrong case", "btc:1a1zp1ep5qgefi2dmptftl5slmv7divfna", "The address has a character that such addresses never have (0, O, I, l or a sign). Compare it with the source"},
		{"Bitcoin for tests", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "This address is for tests and can hold no money. Enter one of the main network"},
		{"Bitcoin that is TRON's", "btc:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "This is not a Bitcoin address. One begins with 1, 3 or bc1; enter all of it"},
		{"TRON that is Bitcoin's", "tron:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "This is not a TRON address. One begins with T and has 34 characters; enter all of it"},
		{"TRON with a wrong character", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6s", "The address does not fit its own checksum: a character is wrong or missing. Compare it with the source, upper and lower case too"},
		{"Ethereum too short", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "An Ethereum address has 0x and 40 hex digits. Enter all of it"},
		{"Ethereum with a sign", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg", "The Ethereum address has a character other than digits and a to f after 0x. Compare it with the source"},
		{"Ethereum with a wrong capital", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", "The capitals of the Ethereum address do not fit its digits, so a digit is wrong (EIP-55). Compare it with the source; if the source has no capitals, enter it without"},
		{"Monero with a wrong character", "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3B", "The address does not fit its own checksum: a character is wrong or missing. Compare it with the source, upper and lower case too"},
		{"TON with a wrong character", "EQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPrHG", "The address does not fit its own checksum: a character is wrong or missing. Compare it with the source, upper and lower case too"},
		{"TON for tests", "ton:kQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPgpP", "This address is for tests and can hold no money. Enter one of the main network"},

		{"GCash with a number of another country", "gcash: +62 812 3456 7890", "This is not a mobile number of Philippines, which GCash needs. Enter it with +63 and all its digits"},
		{"GCash too short", "gcash 0917 123 456", "This is not a mobile number of Philippines, which GCash needs. Enter it with +63 and all its digits"},
		{"GCash with letters", "gcash:0917x1234567", "The telephone number has a character other than digits, + and spaces. Compare it with the source"},
		{"GoPay with a landline", "gopay: 021 1234 5678", "This is not a mobile number of Indonesia, which GoPay needs. Enter it with +62 and all its digits"},
		{"GrabPay without the country", "grabpay: 0812 3456 7890", "This is not a mobile number of a country where GrabPay works. Enter it with its country code, for instance +62, and all its digits"},
		{"PromptPay with a wrong identification number", "promptpay: 1101700230705", "This is not a mobile number of Thailand, which PromptPay needs. Enter it with +66 and all its digits; or enter a Thai identification or tax number of 13 digits, or a wallet number of 15"},
		{"KBZPay in two readings", "kbzpay: 9591234567", "The telephone number can be read in two ways. Enter it with its country code, +95"},

		{"keyed, too short", "hmac:list-1:0a", "A keyed hash is written hmac:KEYID: and 64 hex digits. The key ID has 1 to 32 lower-case letters, digits and hyphens"},
		{"keyed, no ID", "hmac:" + strings.Repeat("0a", 32), "A keyed hash is written hmac:KEYID: and 64 hex digits. The key ID has 1 to 32 lower-case letters, digits and hyphens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := payment.Parse(c.in)
			if err == nil {
				t.Fatalf("Parse(%q) = %q, want an error", c.in, h.Reveal())
			}
			if !errors.Is(err, payment.ErrSyntax) || !h.IsZero() {
				t.Errorf("Parse(%q) = %v, %v", c.in, h, err)
			}
			if err.Error() != c.want {
				t.Errorf("Parse(%q):\n got %s\nwant %s", c.in, err, c.want)
			}
			leaks(t, c.in, err.Error())
		})
	}
}

// leaks fails if a text shows six characters in a row of what was entered, other
// than words of the sentence itself.
func leaks(t *testing.T, in, text string) {
	t.Helper()
	for i := 0; i+6 <= len(in); i++ {
		part := in[i : i+6]
		if strings.ContainsAny(part, "0123456789") && strings.Contains(text, part) {
			t.Errorf("%q shows %q of what was entered", text, part)
		}
	}
}

// TestBIP350 runs the test vectors of BIP 350, which replace those of BIP 173
// for addresses.
func TestBIP350(t *testing.T) {
	for _, addr := range []string{
		"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
		"bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
		"BC1SW50QGDZ25J",
		"bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
	} {
		if got, want := parse(t, addr).Reveal(), "btc:"+strings.ToLower(addr); got != want {
			t.Errorf("Parse(%q) = %q, want %q", addr, got, want)
		}
	}
	for addr, why := range map[string]string{
		// valid, of the test network
		"tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7": "tests",
		"tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy": "tests",
		"tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c": "tests",
		// invalid
		"tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut": "",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd": "checksum",
		"tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf": "tests",
		"BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL": "checksum",
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh":                     "checksum",
		"tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47": "tests",
		"bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4": "never have",
		"BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R": "length or version",
		"bc1pw5dgrnzv": "length or version",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav": "length or version",
		"BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P":                                         "length or version",
		"tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq":               "tests",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf":             "length or version",
		"tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j":               "tests",
		"bc1gmk9yu": "length or version",
		// of BIP 173
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5": "checksum",
		"BC13W508D6QEJXTDG4Y5R3ZARVARY0C5XW7KN40WF2": "length or version",
		"bc1rw5uspcuh": "length or version",
		"bc10w508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kw5rljs90": "length or version",
		"bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du":                                        "length or version",
		// valid by BIP 173 alone: version 1 and higher need bech32m since
		"bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7k7grplx": "checksum",
		"bc1zw508d6qejxtdg4y5r3zarvaryvg6kdaj":                                       "checksum",
		"Bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4":                                 "mixes",
	} {
		h, err := payment.Parse("btc:" + addr)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Parse(btc:%s) = %q, %v, want an error with %q", addr, h.Reveal(), err, why)
		}
	}
}

// TestEIP55 runs the test vectors of EIP-55.
func TestEIP55(t *testing.T) {
	for _, addr := range []string{
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
		"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
		"0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
		"0x52908400098527886E0F7030069857D2E4169EE7", // all capitals
		"0xde709f2102306220921060314715629080e2fb77", // none
	} {
		for _, in := range []string{addr, strings.ToLower(addr), "0x" + strings.ToUpper(addr[2:])} {
			if got := parse(t, in).Reveal(); got != "eth:"+addr {
				t.Errorf("Parse(%q) = %q, want eth:%s", in, got, addr)
			}
		}
		// Any one letter of another case is a mistake.
		for i, c := range addr[2:] {
			if !unicode.IsLetter(c) {
				continue
			}
			flip := []byte(addr)
			flip[i+2] ^= 0x20
			if s := string(flip); s[2:] != strings.ToLower(s[2:]) && s[2:] != strings.ToUpper(s[2:]) {
				if h, err := payment.Parse(s); err == nil {
					t.Errorf("Parse(%q) = %q, want an error", s, h.Reveal())
				}
			}
		}
	}
}

func TestIBANRegistry(t *testing.T) {
	data, err := os.ReadFile("testdata/iban.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for iban := range strings.Lines(string(data)) {
		iban = strings.TrimSpace(iban)
		if iban == "" || iban[0] == '#' {
			continue
		}
		n++
		if got := parse(t, iban).Reveal(); got != "iban:"+iban {
			t.Errorf("Parse(%q) = %q", iban, got)
		}
		// ISO 7064 MOD 97-10 finds every wrong digit, and every two digits that
		// have changed places. (Not a letter and a digit: B is 11, so 1B and
		// B1 are one number.)
		for i := 4; i < len(iban); i++ {
			b := []byte(iban)
			if b[i] >= '0' && b[i] <= '9' {
				b[i] = '0' + (b[i]-'0'+1)%10
				if h, err := payment.Parse("iban:" + string(b)); err == nil {
					t.Errorf("Parse(%q) = %q with a wrong digit at %d", b, h.Reveal(), i)
				}
			}
			b = []byte(iban)
			if i+1 < len(b) && b[i] != b[i+1] && b[i] <= '9' && b[i+1] <= '9' {
				b[i], b[i+1] = b[i+1], b[i]
				if h, err := payment.Parse("iban:" + string(b)); err == nil {
					t.Errorf("Parse(%q) = %q with places %d and %d swapped", b, h.Reveal(), i, i+1)
				}
			}
		}
	}
	if n != 89 {
		t.Errorf("%d examples, the registry has 89 countries", n)
	}
}

// TestBase58 makes addresses of every coin with the library, and breaks them.
func TestBase58(t *testing.T) {
	versions := map[string][]byte{"btc": {0x00, 0x05}, "ltc": {0x30, 0x32}, "doge": {0x1e, 0x16}, "tron": {0x41}}
	rapid.Check(t, func(t *rapid.T) {
		system := rapid.SampledFrom([]string{"btc", "ltc", "doge", "tron"}).Draw(t, "system")
		version := rapid.SampledFrom(versions[system]).Draw(t, "version")
		addr := base58.CheckEncode(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "hash"), version)
		h, err := payment.Parse(system + ":" + addr)
		if err != nil || h.Reveal() != system+":"+addr || h.System() != system {
			t.Fatalf("Parse(%s:%s) = %q, %v", system, addr, h.Reveal(), err)
		}
		bare, err := payment.Parse(addr)
		if err != nil || bare != h {
			t.Fatalf("Parse(%s) = %q, %v, want %q", addr, bare.Reveal(), err, h.Reveal())
		}
		b := []byte(addr)
		i := rapid.IntRange(0, len(b)-1).Draw(t, "place")
		const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
		b[i] = alphabet[(strings.IndexByte(alphabet, b[i])+1+rapid.IntRange(0, 56).Draw(t, "by"))%58]
		if h, err := payment.Parse(system + ":" + string(b)); err == nil {
			t.Fatalf("Parse(%s:%s) = %q with a wrong character", system, b, h.Reveal())
		}
	})
}

// TestHandleHides prints a handle in all the ways that a program may do by
// accident.
func TestHandleHides(t *testing.T) {
	type holder struct {
		h payment.Handle // fmt calls no methods of an unexported field
		H payment.Handle
	}
	for _, text := range []string{
		"iban:GB29NWBK60161331926819", "btc:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		"wallet.gcash:+639171234567", "wallet.paynow:uen12345678A", "wallet.paynow:+6591234567",
		"hmac:list-1:" + strings.Repeat("0123456789abcdef", 4), "xmr:44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A",
	} {
		h := parse(t, text)
		secret := text[strings.LastIndexByte(text, ':')+1:]
		shown := []string{h.Masked(), h.String(), h.GoString(), fmt.Sprint(h), fmt.Sprintf("%s %q %x %X %d %v %+v %#v %t", h, h, h, h, h, h, h, h, h)}
		v := holder{h, h}
		shown = append(shown, fmt.Sprintf("%v %+v %#v", v, v, v), fmt.Sprintf("%v %+v", &v, []payment.Handle{h}), fmt.Sprint(map[payment.Handle]int{h: 1}), fmt.Errorf("x: %v", h).Error())
		var log bytes.Buffer
		for _, l := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
			l.Info("x", "h", h, "v", v, "p", &v, "l", []payment.Handle{h})
		}
		shown = append(shown, log.String())
		if b, err := json.Marshal(h); !errors.Is(err, payment.ErrMasked) {
			t.Errorf("json.Marshal of a handle = %s, %v", b, err)
		} else {
			shown = append(shown, err.Error())
		}
		for _, s := range shown {
			for i := 0; i+5 <= len(secret); i++ {
				if part := secret[i : i+5]; strings.Contains(s, part) {
					t.Errorf("%q shows %q", s, part)
				}
			}
			if hexed := hex.EncodeToString([]byte(secret)); strings.Contains(strings.ToLower(s), hexed[:12]) {
				t.Errorf("%q shows the handle in hex", s)
			}
		}
	}
	for text, want := range map[string]string{
		"iban:GB29NWBK60161331926819":                                            "iban:GB…6819",
		"wallet.gcash:+639171234567":                                             "wallet.gcash:+6…4567",
		"btc:BC1SW50QGDZ25J":                                                     "btc:bc…z25j",
		"hmac:list-1:" + strings.Repeat("0123456789abcdef", 4):                   "hmac:list-1:01…cdef",
		"ton:0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e": "ton:0:ca…2a3e",
	} {
		if got := parse(t, text).Masked(); got != want {
			t.Errorf("Masked of %s = %q, want %q", text, got, want)
		}
	}
	var zero payment.Handle
	if got := fmt.Sprintf("%v|%s|%q", zero, zero.Reveal(), zero.System()); got != `||""` {
		t.Errorf("the zero value prints %s", got)
	}
}

func TestKey(t *testing.T) {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	k, err := payment.NewKey("list-1", secret)
	if err != nil {
		t.Fatal(err)
	}
	// Computed with Python's hmac module.
	for text, want := range map[string]string{
		"iban:GB29NWBK60161331926819": "ac69f0ce428f5deb46b621701d9c13dab3aed08144d4fc18df13d9048ee5d8f2",
		"wallet.gcash:+639171234567":  "aa02418518af28c04d9bea329b397f805873f9c31e6eced556869bcc1fd55d6d",
	} {
		h := parse(t, text)
		keyed, err := k.Hash(h)
		if err != nil || keyed.Reveal() != "hmac:list-1:"+want {
			t.Errorf("Hash(%s) = %q, %v, want %s", text, keyed.Reveal(), err, want)
		}
		if back := parse(t, keyed.Reveal()); back != keyed || !back.IsKeyed() || back.KeyID() != "list-1" || back.System() != "hmac" {
			t.Errorf("the keyed form of %s does not come back", text)
		}
		if !k.Matches(keyed, h) {
			t.Errorf("%s does not match its own hash", text)
		}
		if _, err := k.Hash(keyed); !errors.Is(err, payment.ErrKey) {
			t.Errorf("Hash of a keyed hash: %v", err)
		}
	}

	a, b := parse(t, "gcash: 0917 123 4567"), parse(t, "wallet.gcash:+639171234568")
	ka, _ := k.Hash(a)
	secret[0] ^= 1 // the key keeps its own copy
	other, err := payment.NewKey("list-1", secret)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := payment.NewKey("list-2", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, matches := range map[string]bool{
		"another handle":       k.Matches(ka, b),
		"another secret":       other.Matches(ka, a),
		"another key":          elsewhere.Matches(ka, a),
		"a handle not keyed":   k.Matches(a, a),
		"a keyed candidate":    k.Matches(ka, ka),
		"no candidate":         k.Matches(ka, payment.Handle{}),
		"no hash":              k.Matches(payment.Handle{}, a),
		"the zero value's key": payment.Key{}.Matches(ka, a),
	} {
		if matches {
			t.Errorf("matches with %s", name)
		}
	}
	if !k.Matches(ka, a) {
		t.Error("the key's secret changed with the caller's slice")
	}
	if _, err := (payment.Key{}).Hash(a); !errors.Is(err, payment.ErrKey) {
		t.Errorf("Hash with the zero value: %v", err)
	}
	if _, err := k.Hash(payment.Handle{}); !errors.Is(err, payment.ErrKey) {
		t.Errorf("Hash of the zero value: %v", err)
	}
	for _, id := range []string{"", "A", "a b", "a:b", strings.Repeat("a", 33)} {
		if _, err := payment.NewKey(id, secret); !errors.Is(err, payment.ErrKey) {
			t.Errorf("NewKey(%q): %v", id, err)
		}
	}
	if _, err := payment.NewKey("list-1", secret[:31]); !errors.Is(err, payment.ErrKey) {
		t.Errorf("NewKey with a short secret: %v", err)
	}
	type holder struct{ k payment.Key }
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %x", k, k, k, k, k), fmt.Sprintf("%v %+v %#v", holder{k}, holder{k}, holder{k})} {
		if strings.Contains(s, "1, 2, 3") || strings.Contains(s, "1 2 3") || strings.Contains(s, "0x1, 0x2") || strings.Contains(s, "010203") {
			t.Errorf("%q shows the secret", s)
		}
	}
}

func TestWallets(t *testing.T) {
	seen := make(map[string]bool)
	for _, w := range payment.Wallets() {
		if w.ID == "" || w.Name == "" || len(w.Countries) == 0 || seen[w.ID] || strings.ContainsAny(w.ID, ". :") {
			t.Errorf("bad or repeated wallet %+v", w)
		}
		seen[w.ID] = true
		if _, err := payment.Parse(w.ID + ": 1"); err == nil || strings.Contains(err.Error(), "not known") {
			t.Errorf("%s: %v", w.ID, err)
		}
		if _, err := payment.Parse(w.Name + ": 1"); err == nil || strings.Contains(err.Error(), "not known") {
			t.Errorf("%s: %v", w.Name, err)
		}
	}
	for _, id := range []string{"gopay", "ovo", "dana", "gcash", "maya", "promptpay", "duitnow", "paynow", "momo"} {
		if !seen[id] {
			t.Errorf("no wallet %q", id)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "GB29 NWBK 6016 1331 9268 19", "bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa?amount=50", "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "tron:41a614f803b6fd780986a42c78ec9c7f77e6ded13c", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "hmac:a:0",
		"44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A", "ltc:ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",
		"EQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPrHF", "ton:-1:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e", "GCash 0917 123 4567",
		"promptpay: 1-1017-00230-70-8", "paynow:T08LL1234A", "kbzpay 95 9 512 345 678", "พร้อมเพย์ ๐๘๑ ๒๓๔ ๕๖๗๘", "Touch 'n Go eWallet +60 12-345 6789",
		"hmac:list-1:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := payment.Parse(text)
		if err != nil {
			if !h.IsZero() || !errors.Is(err, payment.ErrSyntax) {
				t.Fatalf("Parse(%q) = %q, %v", text, h.Reveal(), err)
			}
			return
		}
		if again, err := payment.Parse(h.Reveal()); err != nil || again != h {
			t.Fatalf("Parse(%q) = %q, Parse of that = %q, %v", text, h.Reveal(), again.Reveal(), err)
		}
		_, secret, _ := strings.Cut(h.Reveal(), ":")
		if m := h.Masked(); len(secret) > 6 && strings.Contains(m, secret) {
			t.Fatalf("Masked of %q = %q", h.Reveal(), m)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, s := range []string{"iban:GB29NWBK60161331926819", "btc:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "wallet.gcash:+639171234567"} {
		system, _, _ := strings.Cut(s, ":")
		b.Run("system="+system, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := payment.Parse(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestLike wants handles and misspelt ones told from everything else that people
// look up.
func TestLike(t *testing.T) {
	for text, want := range map[string]bool{
		"GB29 NWBK 6016 1331 9268 19": true, "GB29NWBK60161331926818": true, "gcash 0917 123 4567": true, "+62 812 3456 7890": true, "081234567890": true,
		"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa": true, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb": true,
		"": false, "12345678": false, "#42": false, "S-1042": false, "d41d8cd98f00b204e9800998ecf8427e": false, "141d8cd98f00b204e9800998ecf8427e": false,
		"Message about the flood relief": false, "DANA 2026": false, "language:id": false, "https://example.test/1234567": false, "2026-11-29": false,
		"hmac:seahub-2026:" + strings.Repeat("ab", 32): false,
	} {
		if got := payment.Like(text); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}
