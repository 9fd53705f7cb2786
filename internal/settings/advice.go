package settings

import (
	"fmt"
	"slices"
)

// advice tells what to do about an unknown name: use the nearest known one if
// it looks like a slip, else remove it. form writes a setting's name the way
// the user wrote the unknown one.
func (s *Set) advice(prefix, unknown string, form func(string) string) string {
	best, bestDistance := "", len(unknown)/4+1 // a slip every four letters, at least one
	for _, name := range s.suggestions(prefix == "--") {
		if d := distance(unknown, form(name)); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = form(name), d
		}
	}
	if best == "" {
		return "remove it, " + listed
	}
	return fmt.Sprintf("did you mean %s%s? %s", prefix, best, listed)
}

// listed ends every advice.
const listed = "--help lists all settings"

func (s *Set) suggestions(ownOnly bool) []string {
	names := s.Names()
	if ownOnly {
		return names
	}
	for _, own := range programNames {
		names = append(names, own...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
