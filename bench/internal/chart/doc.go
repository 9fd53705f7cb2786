// Package chart draws results as SVG: how latency is distributed, and what things cost against a size. A picture is
// one file without references to others; its colours follow the reader's choice of light or dark.
//
//	Latency, Costs ── lay out ──▶ panel ── draw ──▶ svg
package chart
