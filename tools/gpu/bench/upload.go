package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// upload compares the upload of weights from ordinary memory with a plain copy of page-locked memory.
func (b bench) upload() error {
	size, pieces := int64(4<<30), 64
	if b.device == "sim" {
		size, pieces = 1<<20, 4
	}
	plain, err := b.plainCopy(min(size, 1<<30))
	if err != nil {
		return err
	}
	if err := b.print(plain); err != nil {
		return err
	}
	weights, err := b.weights(size, pieces)
	if err != nil {
		return err
	}
	return b.print(weights)
}

// plainCopy times a copy of page-locked memory to the device.
func (b bench) plainCopy(bytes int64) (r row, err error) {
	d, err := b.openDevice()
	if err != nil {
		return r, err
	}
	defer d.ctx.Close()
	at, err := d.ctx.MemAlloc(bytes)
	if err != nil {
		return r, err
	}
	pinned, err := d.ctx.MemAllocHost(int(bytes))
	if err != nil {
		return r, err
	}
	clear(pinned)
	t, err := d.time(b.time, func() error { return d.stream.MemcpyHtoDAsync(at, pinned) })
	return row{Kind: "upload", Name: "plain copy of page-locked memory", Seconds: t.Seconds(), Bytes: bytes}, err
}

// weights times the upload of weights of the given total size, split into pieces: it runs one product with each of
// them, and so includes one small product for each piece.
func (b bench) weights(bytes int64, pieces int) (r row, err error) {
	open := func() (cu.Context, error) { return b.open() }
	dev, err := cuda.New(cuda.Options{Open: open})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	const cols = 256
	rows := int(bytes / int64(pieces) / 2 / cols)
	each := rows * cols * 2
	data := make([]byte, each*pieces)
	for i := range 4096 {
		data[i] = byte(i) & 0x3f
	}
	for n := 4096; n < len(data); n *= 2 {
		copy(data[n:], data[:n])
	}
	var ws []backend.Weight
	for i := range pieces {
		w, err := dev.Weight(tensor.Tensor{
			Name: fmt.Sprint("w", i), DType: tensor.BF16, Shape: []int{rows, cols}, Scale: 1, Data: data[i*each : (i+1)*each],
		})
		if err != nil {
			return r, err
		}
		ws = append(ws, w)
	}
	dev.Begin(context.Background())
	one := dev.Alloc(1, cols, tensor.BF16)
	dev.Upload(one, make([]float32, cols))
	dst := dev.Alloc(1, rows, tensor.BF16)
	start := time.Now()
	for _, w := range ws {
		dev.Linear(dst, one, w, backend.Epilogue{})
	}
	err = dev.Sync()
	return row{Kind: "upload", Name: "weights", Seconds: time.Since(start).Seconds(), Bytes: int64(len(data))}, err
}
