//go:build gorgonia && cgo

package gorgonia

import (
	gorgonia "gorgonia.org/cu"

	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

// StreamCreate implements driver.Calls.
func (l *library) StreamCreate(flags int) (driver.Handle, driver.Result) {
	stream, err := gorgonia.MakeStream(gorgonia.StreamFlags(flags))
	return handle(stream), result(err)
}

// StreamSynchronize implements driver.Calls.
func (l *library) StreamSynchronize(stream driver.Handle) driver.Result {
	return result(as[gorgonia.Stream](stream).Synchronize())
}

// StreamWaitEvent implements driver.Calls.
func (l *library) StreamWaitEvent(stream, event driver.Handle) driver.Result {
	return result(as[gorgonia.Stream](stream).Wait(as[gorgonia.Event](event), 0))
}

// StreamDestroy implements driver.Calls.
func (l *library) StreamDestroy(stream driver.Handle) driver.Result {
	s := as[gorgonia.Stream](stream)
	return result(s.Destroy())
}

// EventCreate implements driver.Calls.
func (l *library) EventCreate(flags int) (driver.Handle, driver.Result) {
	event, err := gorgonia.MakeEvent(gorgonia.EventFlags(flags))
	return handle(event), result(err)
}

// EventRecord implements driver.Calls.
func (l *library) EventRecord(event, stream driver.Handle) driver.Result {
	return result(as[gorgonia.Event](event).Record(as[gorgonia.Stream](stream)))
}

// EventQuery implements driver.Calls.
func (l *library) EventQuery(event driver.Handle) driver.Result {
	return result(as[gorgonia.Event](event).Query())
}

// EventSynchronize implements driver.Calls.
func (l *library) EventSynchronize(event driver.Handle) driver.Result {
	return result(as[gorgonia.Event](event).Synchronize())
}

// EventElapsedTime implements driver.Calls.
func (l *library) EventElapsedTime(start, end driver.Handle) (float64, driver.Result) {
	ms, err := as[gorgonia.Event](start).Elapsed(as[gorgonia.Event](end))
	return ms, result(err)
}

// EventDestroy implements driver.Calls.
func (l *library) EventDestroy(event driver.Handle) driver.Result {
	e := as[gorgonia.Event](event)
	return result(gorgonia.DestroyEvent(&e))
}

// GraphDestroy implements driver.Calls.
func (l *library) GraphDestroy(graph driver.Handle) driver.Result {
	return result(as[gorgonia.Graph](graph).Destroy())
}

// GraphExecDestroy implements driver.Calls.
func (l *library) GraphExecDestroy(exec driver.Handle) driver.Result {
	return result(as[gorgonia.ExecGraph](exec).Destroy())
}
