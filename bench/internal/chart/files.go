package chart

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/imtier/imtier/bench/internal/report"
)

// band is the share by which a cost may differ and still counts as flat.
const band = 0.15

// Write draws what there is to draw of all results, each picture in a file of the folder, which is made if it is not
// there. A picture of the same name is written over.
func Write(dir string, rep *report.Report) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	for _, r := range rep.Results {
		if len(r.Latencies) > 0 {
			err := file(dir, slug(r.Command)+"-latency.svg", func(w io.Writer) error {
				return Latency(w, r.Command+": latency", r.Latencies)
			})
			if err != nil {
				return err
			}
		}
		if len(r.Series) > 0 {
			err := file(dir, slug(r.Command)+"-cost.svg", func(w io.Writer) error {
				return Costs(w, r.Title, r.Series, band)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for pictures: %w", err)
	}
	return nil
}

// TryFolder makes the folder for Write and finds out whether files can be made in it.
func TryFolder(dir string) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return fmt.Errorf("make a picture: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func file(dir, name string, draw func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	return errors.Join(draw(f), f.Close())
}

// slug is a command as the name of a file: letters and digits, and a dash for all between.
func slug(command string) string {
	words := strings.FieldsFunc(command, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, "-")
}
