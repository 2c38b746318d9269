package inference

import (
	"context"
	"sync"

	"github.com/shirou/gopsutil/v4/mem"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/cuda"
)

// Room is memory that a model should fit into, and Need what a model takes of it.
type (
	Room = checkpoint.Room
	Need = checkpoint.Need
)

// Closeness says in words how far pictures are from those of bf16 weights.
type Closeness = checkpoint.Closeness

// WithRoomOn returns a context in which searches for models prefer those that fit into the memory of a device.
func WithRoomOn(ctx context.Context, device Device) context.Context {
	return checkpoint.WithRoom(ctx, RoomOn(device))
}

// RoomOn returns the memory of a device: of the graphics card if one is used, otherwise of this computer. It has no
// limit if that cannot be found out.
func RoomOn(device Device) Room {
	switch device {
	case DeviceSim:
		return Room{}
	case DeviceCPU:
	default:
		if bytes, err := cardBytes(); err == nil {
			return Room{Bytes: bytes, Card: true}
		}
	}
	m, err := mem.VirtualMemory()
	if err != nil {
		return Room{}
	}
	return Room{Bytes: int64(m.Total)}
}

// cardBytes asks the driver once: it takes a moment to start.
var cardBytes = sync.OnceValues(cuda.TotalBytes)
