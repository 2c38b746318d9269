package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kleinbild/kleinbild/inference"
)

type benchTune struct {
	Device string `default:"cuda" enum:"cuda,sim" help:"cuda, or sim for the software device, whose times mean nothing."`
	Width  int    `default:"1024" help:"Width of the picture whose shapes are measured."`
	Height int    `default:"1024" help:"Height of the picture whose shapes are measured."`
	Again  bool   `help:"Also measure shapes that were measured before."`
}

func (c benchTune) Run(ctx context.Context, s Streams) error {
	if min(c.Width, c.Height) < 64 || max(c.Width, c.Height) > 2048 || c.Width%16 != 0 || c.Height%16 != 0 {
		return usagef("--width %d, --height %d, want multiples of 16 from 64 to 2048", c.Width, c.Height)
	}
	start, measured := time.Now(), 0
	count := func(inference.KernelTimes) { measured++ }
	report, err := inference.Tune(ctx, inference.Device(c.Device), c.Width, c.Height, c.Again, count)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "%s: products for %s, attention for %s; %d of %d shapes measured in %.1f s\n",
		report.Device, report.GEMM, report.Attention, measured, len(report.Times), time.Since(start).Seconds())
	if c.Device == "sim" {
		fmt.Fprintln(s.Err, "these are times of the software device: they say nothing about any graphics card")
	} else {
		fmt.Fprintf(s.Err, "choices are kept in %s\n", report.Dir)
	}
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "shape: rows×columns×depth\tchosen\tTFLOP/s\tmicroseconds")
	for _, m := range report.Times {
		fmt.Fprintln(table, tuneRow(m))
	}
	return table.Flush()
}

// tuneRow returns a line of the table for one shape, with the time of each variant that was measured.
func tuneRow(m inference.KernelTimes) string {
	shape := m.Shape.String()
	if m.MeasuredRows != m.Rows {
		shape += fmt.Sprintf(" (measured with %d rows)", m.MeasuredRows)
	}
	rate, times := "", make([]string, len(m.Times))
	for i, t := range m.Times {
		times[i] = fmt.Sprintf("%s %.1f", t.Variant, float64(t.Time)/1e3)
		if t.Variant == m.Chosen && t.Time > 0 {
			rate = fmt.Sprintf("%.3g", m.FLOP(m.MeasuredRows)/t.Time.Seconds()/1e12)
		}
	}
	if len(times) == 0 {
		times = []string{"not measured"}
	}
	return strings.Join([]string{shape, m.Chosen, rate, strings.Join(times, ", ")}, "\t")
}
