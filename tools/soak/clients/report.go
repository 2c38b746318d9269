package clients

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Report is what the clients observed.
type Report struct {
	Requests  int64
	Answers   map[int]int    // number of answers by status
	Rude      map[string]int // number of rude things by name
	Served    int            // wishes of polite clients that were served
	Retries   int            // of polite clients, after an answer with Retry-After
	Faults    []string       // wishes of polite clients that were not served, with the reason
	latencies []time.Duration
	slowest   map[string]time.Duration // by kind of wish
}

func newReport() *Report {
	return &Report{Answers: map[int]int{}, Rude: map[string]int{}, slowest: map[string]time.Duration{}}
}

func (r *Report) served(kind string, took time.Duration) {
	r.Served++
	r.latencies = append(r.latencies, took)
	r.slowest[kind] = max(r.slowest[kind], took)
}

// Latency returns a quantile of the times from a polite client's first try to its picture: the given share of the
// served wishes took at most this long.
func (r *Report) Latency(share float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.latencies))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// WriteTo prints the report as a table.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-34s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("requests", "%d", r.Requests)
	for _, status := range slices.Sorted(maps.Keys(r.Answers)) {
		row(fmt.Sprintf("  answered %d %s", status, http.StatusText(status)), "%d", r.Answers[status])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Rude)) {
		row("  rude: "+name, "%d", r.Rude[name])
	}
	row("polite wishes served", "%d of %d, after %d retries", r.Served, r.Served+len(r.Faults), r.Retries)
	row("polite latency, 50th and 99th", "%.2f s, %.2f s", r.Latency(0.5).Seconds(), r.Latency(0.99).Seconds())
	for _, kind := range slices.Sorted(maps.Keys(r.slowest)) {
		row("  slowest: "+kind, "%.2f s", r.slowest[kind].Seconds())
	}
	for _, fault := range r.Faults[:min(len(r.Faults), 20)] {
		row("  NOT SERVED", "%s", fault)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
