package ledger

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Save writes the ledgers into dir as JSON lines: publisher.jsonl, changes.jsonl, and clients.jsonl with
// the client's name in each line.
func Save(dir string, p *Publisher, clients []*Client) error {
	err := lines(filepath.Join(dir, "publisher.jsonl"), func(line func(any) error) error {
		for _, s := range p.Sends() {
			if err := line(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save the publishers' ledger: %w", err)
	}
	err = lines(filepath.Join(dir, "changes.jsonl"), func(line func(any) error) error {
		for _, c := range p.Changes() {
			if err := line(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save the changes of memberships: %w", err)
	}
	err = lines(filepath.Join(dir, "clients.jsonl"), func(line func(any) error) error {
		for _, c := range clients {
			for _, e := range c.Entries() {
				if err := line(struct {
					Client string `json:"client"`
					Entry
				}{c.ID, e}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save the clients' ledgers: %w", err)
	}
	return nil
}

// SaveEvents writes the ledger of consumers into dir, as events.jsonl.
func SaveEvents(dir string, l *Events) error {
	return lines(filepath.Join(dir, "events.jsonl"), func(line func(any) error) error {
		for _, e := range l.All() {
			if err := line(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func lines(name string, write func(line func(any) error) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := write(json.NewEncoder(w).Encode); err != nil {
		return err
	}
	return w.Flush()
}
