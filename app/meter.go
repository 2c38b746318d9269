package app

import "sync/atomic"

// meter takes counts from a goroutine that must not wait, and shows the newest ones on Fyne's goroutine: report keeps
// them, and posts show only if no call of it is on its way.
type meter struct {
	post    func(func())
	show    func(done, total int64)
	done    atomic.Int64
	total   atomic.Int64
	pending atomic.Bool
}

func newMeter(post func(func()), show func(done, total int64)) *meter {
	return &meter{post: post, show: show}
}

func (m *meter) report(done, total int64) {
	m.done.Store(done)
	m.total.Store(total)
	if m.pending.CompareAndSwap(false, true) {
		m.post(func() {
			m.pending.Store(false)
			m.show(m.done.Load(), m.total.Load())
		})
	}
}
