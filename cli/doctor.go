package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"

	"github.com/shirou/gopsutil/v4/mem"

	"kleinbild/inference"
)

type doctorCommand struct{ modelFlags }

func (c doctorCommand) Run(s Streams) error {
	rows := [][2]string{
		{"version", Version},
		{"system", runtime.GOOS + "/" + runtime.GOARCH},
		{"processor", inference.Processor()},
		{"memory", memory()},
		{"graphics", graphics()},
	}
	if err := printRows(s.Out, rows); err != nil {
		return err
	}
	opts, err := c.options()
	if err != nil {
		return err
	}
	engine, err := inference.Open(opts)
	if err != nil {
		return fmt.Errorf("no usable model: %w", err)
	}
	defer engine.Close()
	info := engine.Info()
	rows = nil
	if info.Missing != nil {
		for _, p := range info.Missing.Tried {
			rows = append(rows, [2]string{"no model in", p.Where + " (" + p.Reason + ")"})
		}
	}
	rows = append(rows,
		[2]string{"model", fmt.Sprintf("%s (%s, %s)", info.Model, info.Family, info.Variant)},
		[2]string{"files", fmt.Sprintf("%s (%s, %.2f GB)", info.Location, info.Layout, float64(info.SizeBytes)/1e9)},
		[2]string{"computes on", fmt.Sprintf("%s, %s", info.Device, info.Precision)})
	for _, n := range info.Notices {
		rows = append(rows, [2]string{"note", n})
	}
	rows = append(rows, [2]string{"result", "ready to make pictures"})
	return printRows(s.Out, rows)
}

func printRows(w io.Writer, rows [][2]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\n", r[0], printable(r[1]))
	}
	return t.Flush()
}

// comfortableBytes holds those 14 GB of the 4B model's files that are read, beside its working memory.
const comfortableBytes = 18 << 30

func memory() string {
	m, err := mem.VirtualMemory()
	if err != nil {
		return "unknown: " + err.Error()
	}
	text := fmt.Sprintf("%.1f GB, %.1f GB free", float64(m.Total)/1e9, float64(m.Available)/1e9)
	if m.Total < comfortableBytes {
		text += "; too little to keep the 4B model's 14 GB in, which is then read from disk in every step: slow, but it works"
	}
	return text
}

// graphics looks for an NVIDIA driver without loading it.
func graphics() string {
	found := ""
	switch runtime.GOOS {
	case "windows":
		path := filepath.Join(os.Getenv("SystemRoot"), "System32", "nvcuda.dll")
		if _, err := os.Stat(path); err == nil {
			found = "NVIDIA driver (" + path + ")"
		}
	case "linux":
		if text, err := os.ReadFile("/sys/module/nvidia/version"); err == nil {
			found = "NVIDIA driver " + string(text[:max(len(text)-1, 0)])
		}
	}
	if found == "" {
		return "no NVIDIA driver found; this version computes on the processor"
	}
	return found + "; this version does not use it yet and computes on the processor"
}
