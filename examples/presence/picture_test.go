package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func open(t *testing.T, name string) *picture {
	t.Helper()
	p, err := openPicture(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func (p *picture) must(t *testing.T, clientID string, online bool, seq int64) {
	t.Helper()
	if err := p.set(clientID, online, seq); err != nil {
		t.Fatal(err)
	}
}

func (p *picture) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := p.online(); !slices.Equal(got, want) {
		t.Errorf("online %q, want %q", got, want)
	}
}

func TestThePictureSurvivesAKill(t *testing.T) {
	name := filepath.Join(t.TempDir(), "p")
	p := open(t, name)
	p.must(t, "ann", true, 1)
	p.must(t, "bob", true, 2)
	p.must(t, "bob", false, 4)
	p.must(t, "bob", true, 2) // comes again
	p.must(t, "cid", true, 5)
	p.expect(t, "ann", "cid")
	p.close()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"clientId":"ann","onl`); err != nil { // the kill cut a line
		t.Fatal(err)
	}
	f.Close()
	p = open(t, name)
	p.expect(t, "ann", "cid")
	p.must(t, "ann", false, 6)
	p.close()
	p = open(t, name)
	p.expect(t, "cid")
	if !p.isNew() {
		t.Error("it was never compared with the list")
	}
}

func TestRebuildingBelievesTheListButNotOverEvents(t *testing.T) {
	name := filepath.Join(t.TempDir(), "p")
	p := open(t, name)
	p.must(t, "gone", true, 1)
	p.must(t, "stays", true, 2)
	pages := map[string][]string{"": {"stays", "leaves"}, "next": {"new"}}
	list := func(_ context.Context, cursor string, _ int) ([]string, string, error) {
		if cursor == "next" {
			p.must(t, "leaves", false, 10) // after it was listed
			p.must(t, "late", true, 11)    // before it could be
			return pages[cursor], "", nil
		}
		return pages[cursor], "next", nil
	}
	if err := p.rebuild(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "late", "new", "stays")
	p.close()
	p = open(t, name)
	p.expect(t, "late", "new", "stays")
	if p.isNew() {
		t.Error("it was compared with the list")
	}
}
