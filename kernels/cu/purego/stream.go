package purego

import (
	"unsafe"

	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

// StreamCreate implements driver.Calls.
func (l *library) StreamCreate(flags int) (stream driver.Handle, r driver.Result) {
	r = l.call(driver.CuStreamCreate, uintptr(unsafe.Pointer(&stream)), uintptr(flags))
	return stream, r
}

// StreamSynchronize implements driver.Calls.
func (l *library) StreamSynchronize(stream driver.Handle) driver.Result {
	return l.call(driver.CuStreamSynchronize, uintptr(stream))
}

// StreamWaitEvent implements driver.Calls.
func (l *library) StreamWaitEvent(stream, event driver.Handle) driver.Result {
	return l.queue(driver.CuStreamWaitEvent, uintptr(stream), uintptr(event), 0, 0)
}

// StreamDestroy implements driver.Calls.
func (l *library) StreamDestroy(stream driver.Handle) driver.Result {
	return l.call(driver.CuStreamDestroy, uintptr(stream))
}

// EventCreate implements driver.Calls.
func (l *library) EventCreate(flags int) (event driver.Handle, r driver.Result) {
	r = l.call(driver.CuEventCreate, uintptr(unsafe.Pointer(&event)), uintptr(flags))
	return event, r
}

// EventRecord implements driver.Calls.
func (l *library) EventRecord(event, stream driver.Handle) driver.Result {
	return l.queue(driver.CuEventRecord, uintptr(event), uintptr(stream), 0, 0)
}

// EventQuery implements driver.Calls.
func (l *library) EventQuery(event driver.Handle) driver.Result {
	return l.call(driver.CuEventQuery, uintptr(event))
}

// EventSynchronize implements driver.Calls.
func (l *library) EventSynchronize(event driver.Handle) driver.Result {
	return l.call(driver.CuEventSynchronize, uintptr(event))
}

// EventElapsedTime implements driver.Calls.
func (l *library) EventElapsedTime(start, end driver.Handle) (float64, driver.Result) {
	var ms float32
	r := l.call(driver.CuEventElapsedTime, uintptr(unsafe.Pointer(&ms)), uintptr(start), uintptr(end))
	return float64(ms), r
}

// EventDestroy implements driver.Calls.
func (l *library) EventDestroy(event driver.Handle) driver.Result {
	return l.call(driver.CuEventDestroy, uintptr(event))
}

// StreamBeginCapture implements driver.Calls.
func (l *library) StreamBeginCapture(stream driver.Handle, mode int) driver.Result {
	return l.call(driver.CuStreamBeginCapture, uintptr(stream), uintptr(mode))
}

// StreamEndCapture implements driver.Calls.
func (l *library) StreamEndCapture(stream driver.Handle) (graph driver.Handle, r driver.Result) {
	r = l.call(driver.CuStreamEndCapture, uintptr(stream), uintptr(unsafe.Pointer(&graph)))
	return graph, r
}

// GraphInstantiate implements driver.Calls.
func (l *library) GraphInstantiate(graph driver.Handle) (exec driver.Handle, r driver.Result) {
	r = l.call(driver.CuGraphInstantiate, uintptr(unsafe.Pointer(&exec)), uintptr(graph), 0)
	return exec, r
}

// GraphLaunch implements driver.Calls.
func (l *library) GraphLaunch(exec, stream driver.Handle) driver.Result {
	return l.queue(driver.CuGraphLaunch, uintptr(exec), uintptr(stream), 0, 0)
}

// GraphDestroy implements driver.Calls.
func (l *library) GraphDestroy(graph driver.Handle) driver.Result {
	return l.call(driver.CuGraphDestroy, uintptr(graph))
}

// GraphExecDestroy implements driver.Calls.
func (l *library) GraphExecDestroy(exec driver.Handle) driver.Result {
	return l.call(driver.CuGraphExecDestroy, uintptr(exec))
}
