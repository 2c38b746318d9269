package models

import (
	"sync"
	"time"
)

// Progress tells how far a download or a verification is.
type Progress struct {
	DoneBytes, TotalBytes int64
	// Rate is in bytes a second, over the last seconds; 0 while it is not known.
	Rate      float64
	Remaining time.Duration // an estimate, 0 while it is not known
	// Problem is why something is tried again, set once for each.
	Problem string
}

const (
	reportEvery = 100 * time.Millisecond
	rateWindow  = 10 * time.Second
)

// tracker counts bytes and reports them. Its methods may be called from several goroutines.
type tracker struct {
	mu       sync.Mutex
	report   func(Progress)
	now      Progress
	reported time.Time
	samples  []sample // of the last rateWindow
	moved    int64    // bytes that came
}

type sample struct {
	at    time.Time
	moved int64
}

func newTracker(report func(Progress)) *tracker { return &tracker{report: report} }

// begin says how much there is in all, and how much of it was there before: that says nothing about the rate.
func (t *tracker) begin(total, done int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.TotalBytes, t.now.DoneBytes = total, done
	t.samples = []sample{{time.Now(), 0}}
}

// add counts n more bytes, or fewer where something has to come again.
func (t *tracker) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.DoneBytes += n
	t.moved += max(n, 0)
	if time.Since(t.reported) >= reportEvery {
		t.send()
	}
}

// left is what is still to come.
func (t *tracker) left() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.now.TotalBytes-t.now.DoneBytes, 0)
}

func (t *tracker) problem(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Problem = text
	t.send()
	t.now.Problem = ""
}

func (t *tracker) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.send()
}

// send works the rate out and reports.
func (t *tracker) send() {
	now := time.Now()
	t.reported = now
	t.samples = append(t.samples, sample{now, t.moved})
	for len(t.samples) > 2 && now.Sub(t.samples[1].at) > rateWindow {
		t.samples = t.samples[1:]
	}
	first := t.samples[0]
	t.now.Rate, t.now.Remaining = 0, 0
	if seconds := now.Sub(first.at).Seconds(); seconds > 0 && t.moved > first.moved {
		t.now.Rate = float64(t.moved-first.moved) / seconds
		t.now.Remaining = time.Duration(float64(t.now.TotalBytes-t.now.DoneBytes) / t.now.Rate * float64(time.Second))
	}
	t.report(t.now)
}
