package payment

import (
	"fmt"
	"strings"
)

// A plan is the part of a country's numbering plan that mobile wallets use. The
// facts are those of the country's plan as notified to the ITU (E.164 national
// numbering plans).
type plan struct {
	country string // for people
	code    string // country code, without +
	trunk   string // put in front of a number inside the country
	starts  string // what a mobile number begins with, each one word
	lengths string // how many digits it has, each one digit or letter: 8, 9, a = 10, b = 11, c = 12
}

var plans = map[string]*plan{
	"BD": {"Bangladesh", "880", "0", "13 14 15 16 17 18 19", "a"},
	"BN": {"Brunei", "673", "", "7 8", "7"},
	"ID": {"Indonesia", "62", "0", "8", "9abc"},
	"IN": {"India", "91", "0", "6 7 8 9", "a"},
	"KE": {"Kenya", "254", "0", "1 7", "9"},
	"KH": {"Cambodia", "855", "0", "1 3 6 7 8 9", "89"},
	"LA": {"Laos", "856", "0", "20 30", "9a"},
	"LK": {"Sri Lanka", "94", "0", "7", "9"},
	"MM": {"Myanmar", "95", "0", "9", "89a"},
	"MY": {"Malaysia", "60", "0", "1", "9a"},
	"PH": {"Philippines", "63", "0", "9 81 89", "a"},
	"PK": {"Pakistan", "92", "0", "3", "a"},
	"SG": {"Singapore", "65", "", "8 9", "8"},
	"TH": {"Thailand", "66", "0", "6 8 9", "9"},
	"TL": {"Timor-Leste", "670", "", "7", "8"},
	"VN": {"Vietnam", "84", "0", "3 5 7 8 9", "9"},
}

// A wallet is a service that pays to the owner of a telephone number.
//
// The rule for all: the handle is the number in E.164 (+, country code, number
// without its trunk prefix), which must be a mobile number by the plan of a
// country where the wallet works. Where it works in one country only, the
// country code may be left out.
type wallet struct {
	id, name  string
	countries string
	also      string // other names, in lower case without spaces
	other     func(string) (string, bool)
	otherName string // what other reads
}

// Wallet is one of the mobile wallets whose handles are read.
type Wallet struct {
	ID        string   // wallet.ID is the system
	Name      string   // for people
	Countries []string // ISO 3166-1 codes of the countries whose numbers it takes
}

// Wallets lists the mobile wallets whose handles are read.
func Wallets() []Wallet {
	list := make([]Wallet, len(wallets))
	for i, w := range wallets {
		list[i] = Wallet{w.id, w.name, strings.Fields(w.countries)}
	}
	return list
}

var wallets = []wallet{
	{id: "gopay", name: "GoPay", countries: "ID"},
	{id: "ovo", name: "OVO", countries: "ID"},
	{id: "dana", name: "DANA", countries: "ID"},
	{id: "linkaja", name: "LinkAja", countries: "ID"},
	{id: "shopeepay", name: "ShopeePay", countries: "ID MY PH SG TH VN", also: "airpay"},
	{id: "gcash", name: "GCash", countries: "PH"},
	{id: "maya", name: "Maya", countries: "PH", also: "paymaya"},
	{id: "grabpay", name: "GrabPay", countries: "ID KH MM MY PH SG TH VN"},
	{id: "promptpay", name: "PromptPay", countries: "TH", also: "พร้อมเพย์", other: thaiNumber, otherName: "a Thai identification or tax number of 13 digits, or a wallet number of 15"},
	{id: "truemoney", name: "TrueMoney", countries: "TH KH MM PH VN ID", also: "truemoneywallet"},
	{id: "linepay", name: "Rabbit LINE Pay", countries: "TH", also: "rabbitlinepay"},
	{id: "paynow", name: "PayNow", countries: "SG", other: uen, otherName: "a UEN"},
	{id: "duitnow", name: "DuitNow", countries: "MY"},
	{id: "tng", name: "Touch 'n Go eWallet", countries: "MY", also: "touchngo touch'ngo tngewallet"},
	{id: "boost", name: "Boost", countries: "MY"},
	{id: "momo", name: "MoMo", countries: "VN"},
	{id: "zalopay", name: "ZaloPay", countries: "VN"},
	{id: "viettelmoney", name: "Viettel Money", countries: "VN", also: "viettelpay"},
	{id: "kbzpay", name: "KBZPay", countries: "MM", also: "kpay"},
	{id: "wavepay", name: "WavePay", countries: "MM", also: "wavemoney"},
	{id: "wing", name: "Wing", countries: "KH"},
	{id: "bkash", name: "bKash", countries: "BD"},
	{id: "nagad", name: "Nagad", countries: "BD"},
	{id: "rocket", name: "Rocket", countries: "BD"},
	{id: "easypaisa", name: "Easypaisa", countries: "PK"},
	{id: "jazzcash", name: "JazzCash", countries: "PK"},
	{id: "ezcash", name: "eZ Cash", countries: "LK"},
	{id: "paytm", name: "Paytm", countries: "IN"},
	{id: "phonepe", name: "PhonePe", countries: "IN"},
	{id: "mpesa", name: "M-PESA", countries: "KE", also: "m-pesa"},
}

// findWallet finds a wallet by its ID or one of its names in lower case.
func findWallet(name string) *wallet { return walletByName[strip(name, " ")] }

var walletByName = func() map[string]*wallet {
	m := make(map[string]*wallet)
	for i := range wallets {
		w := &wallets[i]
		m[w.id] = w
		m[strip(strings.ToLower(w.name), " ")] = w
		for also := range strings.FieldsSeq(w.also) {
			m[also] = w
		}
	}
	return m
}()

const errPhoneSign = syntaxError("The telephone number has a character other than digits, + and spaces. Compare it with the source")

// read reads a wallet's handle.
func (w *wallet) read(s string) (Handle, error) {
	s = strip(s, " -.()/")
	if w.other != nil {
		if v, ok := w.other(s); ok {
			return newHandle("wallet." + w.id + ":" + v), nil
		}
	}
	digits, plus := strings.CutPrefix(s, "+")
	if rest, ok := strings.CutPrefix(digits, "00"); ok && !plus {
		digits, plus = rest, true
	}
	if strings.Trim(digits, "0123456789") != "" {
		return Handle{}, errPhoneSign
	}
	countries := strings.Fields(w.countries)
	found := ""
	for _, c := range countries {
		p := plans[c]
		var national []string
		if rest, ok := strings.CutPrefix(digits, p.code); ok {
			// +62 0812…, with the trunk prefix left in, is a common mistake
			// and can mean only one thing.
			national = append(national, strings.TrimPrefix(rest, p.trunk))
		}
		if !plus && len(countries) == 1 {
			rest, ok := strings.CutPrefix(digits, p.trunk)
			if ok && p.trunk != "" {
				national = national[:0] // a leading zero is never a country code
			}
			national = append(national, rest)
		}
		for _, n := range national {
			if !p.mobile(n) {
				continue
			}
			e164 := "+" + p.code + n
			if found != "" && found != e164 {
				return Handle{}, syntaxError(fmt.Sprintf("The telephone number can be read in two ways. Enter it with its country code, +%s", p.code))
			}
			found = e164
		}
	}
	if found == "" {
		return Handle{}, w.wrong(countries)
	}
	return newHandle("wallet." + w.id + ":" + found), nil
}

// wrong says what the wallet takes.
func (w *wallet) wrong(countries []string) error {
	var b strings.Builder
	if len(countries) == 1 {
		p := plans[countries[0]]
		fmt.Fprintf(&b, "This is not a mobile number of %s, which %s needs. Enter it with +%s and all its digits", p.country, w.name, p.code)
	} else {
		fmt.Fprintf(&b, "This is not a mobile number of a country where %s works. Enter it with its country code, for instance +%s, and all its digits", w.name, plans[countries[0]].code)
	}
	if w.otherName != "" {
		fmt.Fprintf(&b, "; or enter %s", w.otherName)
	}
	return syntaxError(b.String())
}

// mobile reports whether n is a mobile number without country code and trunk
// prefix.
func (p *plan) mobile(n string) bool {
	ok := false
	for start := range strings.FieldsSeq(p.starts) {
		ok = ok || strings.HasPrefix(n, start)
	}
	return ok && len(n) < 16 && strings.IndexByte(p.lengths, "0123456789abcdef"[len(n)]) >= 0
}

// thaiNumber reads the other things that PromptPay pays to: an identification or
// tax number of 13 digits, whose last is a check digit, or a wallet of 15.
func thaiNumber(s string) (string, bool) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "id"), "ewallet")
	if strings.Trim(s, "0123456789") != "" {
		return "", false
	}
	switch len(s) {
	case 13:
		if strings.HasPrefix(s, "00") { // a telephone number with 00 for +
			return "", false
		}
		sum := 0
		for i := range 12 {
			sum += int(s[i]-'0') * (13 - i)
		}
		if (11-sum%11)%10 != int(s[12]-'0') {
			return "", false
		}
		return "id" + s, true
	case 15:
		return "ewallet" + s, true
	}
	return "", false
}

// uen reads a Unique Entity Number of Singapore: 8 digits and a letter, 9 digits
// and a letter, or T or S or R, two digits, two letters or digits, four digits
// and a letter (ACRA).
func uen(s string) (string, bool) {
	s = strings.TrimPrefix(strings.ToUpper(s), "UEN")
	form := map[int]string{9: "nnnnnnnna", 10: "nnnnnnnnna"}[len(s)]
	if len(s) == 10 && strings.IndexByte("TSR", s[0]) >= 0 {
		form = "annccnnnna"
	}
	if form == "" {
		return "", false
	}
	for i := range len(s) {
		digit, letter := isDigit(s[i]), s[i] >= 'A' && s[i] <= 'Z'
		switch form[i] {
		case 'n':
			if !digit {
				return "", false
			}
		case 'a':
			if !letter {
				return "", false
			}
		default:
			if !digit && !letter {
				return "", false
			}
		}
	}
	return "uen" + s, true
}
