package problem

import "strings"

// Nearest returns the candidate that looks most like s, if any is near enough
// to be meant: at most a third of its letters differ, or two in a short word.
func Nearest(s string, candidates []string) (string, bool) {
	s = strings.ToLower(s)
	best, bestDistance := "", -1
	for _, c := range candidates {
		d := editDistance(s, c)
		if d <= max(2, len(c)/3) && d < len(c) && (bestDistance < 0 || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best, bestDistance >= 0
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours (optimal string alignment). It looks at no more than 64 bytes.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
