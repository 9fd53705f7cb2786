package measure

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
)

// Table writes rows with aligned columns.
type Table struct {
	out  io.Writer
	text bytes.Buffer
}

// NewTable begins a table with a title above it.
func NewTable(out io.Writer, title string) *Table {
	t := &Table{out: out}
	t.text.WriteString("\n" + title + "\n")
	return t
}

// Row adds a row.
func (t *Table) Row(cells ...any) {
	for _, c := range cells {
		t.text.WriteString("  " + fmt.Sprint(c) + "\t")
	}
	t.text.WriteByte('\n')
}

// Flush writes the table.
func (t *Table) Flush() error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if _, err := w.Write(t.text.Bytes()); err != nil {
		return err
	}
	return w.Flush()
}

// MB writes bytes in MB (10⁶ bytes).
func MB(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
