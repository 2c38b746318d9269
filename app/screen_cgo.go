//go:build cgo

package app

import (
	"runtime"

	"github.com/go-gl/glfw/v3.3/glfw"
)

// primaryScreen measures the screen that windows open on. It is to be called once Fyne has made a window.
func primaryScreen(setting float32) screen {
	s := screen{system: 1, user: userScale(setting)}
	monitor := glfw.GetPrimaryMonitor()
	if monitor == nil {
		return s
	}
	_, _, width, height := monitor.GetWorkarea()
	s.width, s.height = float32(width), float32(height)
	switch runtime.GOOS {
	case "windows":
		s.system, _ = monitor.GetContentScale()
	case "linux":
		millimetres, _ := monitor.GetPhysicalSize()
		s.system = detectedScale(monitor.GetVideoMode().Width, millimetres)
	}
	return s
}
