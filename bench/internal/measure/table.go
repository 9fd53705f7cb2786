package measure

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table writes rows with aligned columns.
type Table struct {
	w *tabwriter.Writer
}

// NewTable begins a table with a title above it.
func NewTable(out io.Writer, title string) *Table {
	fmt.Fprintf(out, "\n%s\n", title)
	return &Table{w: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
}

// Row adds a row.
func (t *Table) Row(cells ...any) {
	for _, c := range cells {
		fmt.Fprintf(t.w, "  %v\t", c)
	}
	fmt.Fprintln(t.w)
}

// Flush writes the table.
func (t *Table) Flush() error { return t.w.Flush() }

// MB writes bytes in MB (10⁶ bytes).
func MB(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
