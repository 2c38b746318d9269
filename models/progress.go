package models

import (
	"sync"
	"time"
)

// Progress is the state of a download or a verification.
type Progress struct {
	DoneBytes, TotalBytes int64
	Rate                  float64       // bytes per second over the last 10 s; 0 if not known yet
	Remaining             time.Duration // an estimate; 0 if not known yet
	// Problem is the text of the error after which the download tries again. One report has it, the next ones do not.
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
	moved    int64    // bytes downloaded or read by this process
}

// sample is the value of tracker.moved at a time.
type sample struct {
	at    time.Time
	moved int64
}

func newTracker(report func(Progress)) *tracker { return &tracker{report: report} }

// begin sets the total, and the bytes that were downloaded before, which do not count for the rate.
func (t *tracker) begin(total, done int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.TotalBytes, t.now.DoneBytes = total, done
	t.samples = []sample{{time.Now(), 0}}
}

// add adds n to the bytes done. n is negative if bytes must be downloaded again.
func (t *tracker) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.DoneBytes += n
	t.moved += max(n, 0)
	if time.Since(t.reported) >= reportEvery {
		t.send()
	}
}

// left returns the number of bytes that are missing.
func (t *tracker) left() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.now.TotalBytes-t.now.DoneBytes, 0)
}

// problem reports text as Progress.Problem once.
func (t *tracker) problem(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Problem = text
	t.send()
	t.now.Problem = ""
}

// finish reports the final state.
func (t *tracker) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.send()
}

// send computes the rate and calls report.
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
