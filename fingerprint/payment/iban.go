package payment

import (
	"fmt"
	"strings"
)

// ibanForms gives the form of each country's IBAN after its check digits (ISO
// 13616-1, the IBAN Registry, release 103 of September 2026): runs of n digits,
// a letters, c letters or digits, each with its length. Where the registry and
// what banks issue are said to differ, the wider form stands, as the check
// digits catch mistakes anyhow.
var ibanForms = map[string]string{
	"AD": "n8c12", "AE": "n19", "AL": "n8c16", "AT": "n16", "AZ": "a4c20", "BA": "n16", "BE": "n12", "BG": "a4n6c8",
	"BH": "a4c14", "BI": "n23", "BR": "c8n15a1c1", "BY": "c4n4c16", "CH": "n5c12", "CR": "n18", "CY": "n8c16", "CZ": "n20",
	"DE": "n18", "DJ": "n23", "DK": "n14", "DO": "c4n20", "EE": "n16", "EG": "n25", "ES": "n20", "FI": "n14",
	"FK": "a2n12", "FO": "n14", "FR": "n10c11n2", "GB": "a4n14", "GE": "c2n16", "GI": "a4c15", "GL": "n14", "GR": "n7c16",
	"GT": "c24", "HN": "a4n20", "HR": "n17", "HU": "n24", "IE": "c4n14", "IL": "n19", "IQ": "a4n15", "IS": "n22",
	"IT": "a1n10c12", "JO": "a4n4c18", "KW": "a4c22", "KZ": "n3c13", "LB": "n4c20", "LC": "a4c24", "LI": "n5c12", "LT": "n16",
	"LU": "n3c13", "LV": "a4c13", "LY": "n21", "MC": "n10c11n2", "MD": "c20", "ME": "n18", "MK": "n3c10n2", "MN": "n16",
	"MR": "n23", "MT": "a4n5c18", "MU": "a4n19a3", "NI": "a4n20", "NL": "a4n10", "NO": "n11", "OM": "n3c16", "PK": "a4c16",
	"PL": "n24", "PS": "a4c21", "PT": "n21", "QA": "a4c21", "RO": "a4c16", "RS": "n18", "RU": "n14c15", "SA": "n2c18",
	"SC": "a4n20a3", "SD": "n14", "SE": "n20", "SI": "n15", "SK": "n20", "SM": "a1n10c12", "SO": "n19", "ST": "n21",
	"SV": "a4n20", "TL": "n19", "TN": "n20", "TR": "n5c17", "UA": "n6c19", "VA": "n18", "VG": "a4n16", "XK": "n16",
	"YE": "a4n4c18",

	// Territories that the registry counts with France and Finland.
	"AX": "n14", "BL": "n10c11n2", "GF": "n10c11n2", "GP": "n10c11n2", "MF": "n10c11n2", "MQ": "n10c11n2", "NC": "n10c11n2",
	"PF": "n10c11n2", "PM": "n10c11n2", "RE": "n10c11n2", "TF": "n10c11n2", "WF": "n10c11n2", "YT": "n10c11n2",

	// Not in the registry; banks there issue them all the same.
	"AO": "n21", "BF": "c2n22", "BJ": "c2n22", "CF": "n23", "CG": "n23", "CI": "c2n22", "CM": "n23", "CV": "n21",
	"DZ": "n22", "GA": "n23", "GQ": "n23", "GW": "c2n19", "IR": "n22", "KM": "n23", "MA": "n24", "MG": "n23",
	"ML": "c2n22", "MZ": "n21", "NE": "c2n22", "SN": "c2n22", "TD": "n23", "TG": "c2n22",
}

const (
	errIBAN       = syntaxError("An IBAN begins with two letters for the country and two digits. Enter all of it, as the bank writes it")
	errIBANSign   = syntaxError("The IBAN has a character other than letters and digits. Enter it as the bank writes it")
	errIBANState  = syntaxError("The first two letters of the IBAN are not of a country that has IBANs. Compare it with the source")
	errIBANDigits = syntaxError("The check digits of the IBAN do not fit: a character is wrong, or two have changed places. Compare it with the source")
)

// readIBAN reads an IBAN with or without spaces, hyphens and the word IBAN.
func readIBAN(s string) (Handle, error) {
	s = strings.ToUpper(strip(s, " -.:"))
	s = strings.TrimPrefix(s, "IBAN")
	if len(s) < 5 || !isLetter(rune(s[0])) || !isLetter(rune(s[1])) || !isDigit(s[2]) || !isDigit(s[3]) {
		return Handle{}, errIBAN
	}
	for i := range len(s) {
		if !isDigit(s[i]) && (s[i] < 'A' || s[i] > 'Z') {
			return Handle{}, errIBANSign
		}
	}
	form, ok := ibanForms[s[:2]]
	if !ok {
		return Handle{}, errIBANState
	}
	if want := 4 + formLength(form); len(s) != want {
		return Handle{}, syntaxError(fmt.Sprintf("The IBAN has %d characters; one from %s has %d. Compare it with the source", len(s), s[:2], want))
	}
	if i, kind := misfit(form, s[4:]); i >= 0 {
		what := map[byte]string{'n': "a digit", 'a': "a letter"}[kind]
		return Handle{}, syntaxError(fmt.Sprintf("The character at place %d of the IBAN should be %s, as it is from %s. Compare it with the source", 5+i, what, s[:2]))
	}
	if mod97(s) != 1 || s[2:4] < "02" || s[2:4] > "98" {
		return Handle{}, errIBANDigits
	}
	return newHandle("iban:" + s), nil
}

// ibanForm reports whether s is meant to be an IBAN: its country has them, and
// it is not obviously something else.
func ibanForm(s string) bool {
	_, ok := ibanForms[strings.ToUpper(s[:2])]
	return ok && len(s) <= 40
}

// runs calls f for each run of a form until f returns false.
func runs(form string, f func(kind byte, n int) bool) {
	for i := 0; i < len(form); {
		kind, n := form[i], 0
		for i++; i < len(form) && isDigit(form[i]); i++ {
			n = 10*n + int(form[i]-'0')
		}
		if !f(kind, n) {
			return
		}
	}
}

func formLength(form string) int {
	sum := 0
	runs(form, func(_ byte, n int) bool { sum += n; return true })
	return sum
}

// misfit returns the first place where s has not the form, and what should be
// there, or -1. s is upper-case letters and digits, and as long as the form.
func misfit(form, s string) (at int, want byte) {
	at = -1
	i := 0
	runs(form, func(kind byte, n int) bool {
		for end := i + n; i < end; i++ {
			if kind == 'n' && !isDigit(s[i]) || kind == 'a' && isDigit(s[i]) {
				at, want = i, kind
				return false
			}
		}
		return true
	})
	return at, want
}

// mod97 is ISO 7064 MOD 97-10 over the IBAN with its first four characters at
// the end and letters as 10 to 35.
func mod97(s string) int {
	r := 0
	for i := range len(s) {
		c := s[(i+4)%len(s)]
		if isDigit(c) {
			r = (10*r + int(c-'0')) % 97
		} else {
			r = (100*r + int(c-'A') + 10) % 97
		}
	}
	return r
}
