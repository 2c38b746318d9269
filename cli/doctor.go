package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/shirou/gopsutil/v4/mem"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/models"
	"github.com/kleinbild/kleinbild/plain"
)

type doctorCommand struct{ modelFlags }

func (c doctorCommand) Run(ctx context.Context, s Streams) error {
	rows := [][2]string{{"version", Version}, {"system", runtime.GOOS + "/" + runtime.GOARCH}}
	processor, rates, err := inference.Processor()
	if err != nil {
		processor = err.Error()
	}
	rows = append(rows, [2]string{"processor", processor})
	for _, r := range rates {
		if r.GFLOPS > 0 {
			rows = append(rows, [2]string{"", processorRate(r)})
		}
	}
	rows = append(rows, [2]string{"memory", memory()}, [2]string{"graphics", graphics()}, [2]string{"driver", driver()})
	if runtime.GOOS == "linux" {
		state, _ := WindowState()
		rows = append(rows, [2]string{"window", state})
	}
	if err := printRows(s.Out, rows); err != nil {
		return err
	}
	opts, err := c.options()
	if err != nil {
		return err
	}
	here, skipped, err := models.Look(inference.WithRoomOn(ctx, opts.Device), "", os.Getenv)
	if err != nil {
		return err
	}
	room := inference.RoomOn(opts.Device)
	rows = nil
	for _, m := range here {
		if m.Size > 0 { // the size is 0 if the model cannot be opened
			text := fmt.Sprintf("%s (%s): %s, %s", m.Name, m.Path, m.Quality, room.Words(m.Need))
			if m.Why != "" {
				text += "; " + m.Why
			}
			rows = append(rows, [2]string{"found", text})
		}
	}
	for _, p := range skipped {
		rows = append(rows, [2]string{"skipped", p.Where + " (" + p.Reason + ")"})
	}
	if err := printRows(s.Out, rows); err != nil {
		return err
	}
	engine, err := inference.Open(ctx, opts)
	if err != nil {
		return fmt.Errorf("no usable model: %w", err)
	}
	defer engine.Close()
	info := engine.Info()
	rows = nil
	if info.Missing != nil {
		for _, p := range info.Missing.Tried {
			if p.Empty() { // places with something that cannot be used are listed above
				rows = append(rows, [2]string{"no model in", p.Where + " (" + p.Reason + ")"})
			}
		}
	}
	rows = append(rows,
		[2]string{"model", fmt.Sprintf("%s (%s, %s)", info.Model, info.Family, info.Variant)},
		[2]string{"files", fmt.Sprintf("%s (%s, %.2f GB)", info.Location, info.Layout, float64(info.SizeBytes)/1e9)},
		[2]string{"weights", info.Weights},
		[2]string{"quality", string(info.Closeness)},
		[2]string{"computes on", fmt.Sprintf("%s, %s", info.Device, info.Precision)})
	if need, err := graphicsMemory(engine); !errors.Is(err, inference.ErrNoPlan) {
		if err != nil {
			return err
		}
		rows = append(rows, [2]string{"needs", need})
	}
	for _, n := range info.Notices {
		rows = append(rows, [2]string{"note", n})
	}
	rows = append(rows, [2]string{"result", "ready to make pictures"})
	return printRows(s.Out, rows)
}

// processorRate returns a line about one path of the processor.
func processorRate(r inference.ProcessorRate) string {
	rate, used := fmt.Sprintf("GFLOP/s a thread in %s", r.Format), ""
	if r.Format == inference.Int8 {
		rate = "Gop/s a thread"
	}
	if r.Used {
		used = ", the one in use"
	}
	return fmt.Sprintf("%s: %.0f %s%s", r.Path, r.GFLOPS, rate, used)
}

func printRows(w io.Writer, rows [][2]string) error {
	var table [][]string
	for _, r := range rows {
		table = append(table, r[:])
	}
	return printTable(w, table)
}

// printTable prints rows with aligned columns. It changes the cells of rows: characters that drive a terminal are
// replaced.
func printTable(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			r[i] = plain.Printable(cell)
		}
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// comfortableBytes is the memory with which the 4B model is not read from disk again in every step: 14 GB of weights,
// and the working memory.
const comfortableBytes = 18 << 30

func memory() string {
	m, err := mem.VirtualMemory()
	if err != nil {
		return "unknown: " + err.Error()
	}
	text := fmt.Sprintf("%.1f GB, %.1f GB free", float64(m.Total)/1e9, float64(m.Available)/1e9)
	if m.Total < comfortableBytes {
		text += "; too little for the 14 GB of the 4B model, which are then read from disk in every step: slow, but it works"
	}
	return text
}

// graphicsMemory returns how much graphics memory a picture of the default size needs, as text.
func graphicsMemory(e *inference.Engine) (string, error) {
	req, err := inference.Ask{}.Resolve(e.Info())
	if err != nil {
		return "", err
	}
	p, err := e.Plan(req)
	return fmt.Sprintf("%v of graphics memory for %v", p, req.Size()), err
}

// driver returns a sentence about the package that launches kernels on the graphics card.
func driver() string {
	name, err := inference.Driver()
	if err != nil {
		return err.Error()
	}
	return "kernels are launched through " + name
}

// graphics describes the graphics card that --device cuda would use, or says why there is none.
func graphics() string {
	card, err := inference.Graphics()
	if err != nil {
		return err.Error() + "; pictures are computed on the processor"
	}
	return card
}
