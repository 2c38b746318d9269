package inference

import (
	"errors"
	"fmt"

	"kleinbild/inference/backend"
	"kleinbild/inference/cpu"
	"kleinbild/inference/tensor"
)

// Device says where to compute.
type Device string

const (
	DeviceAuto Device = "auto"
	DeviceCPU  Device = "cpu"
	DeviceCUDA Device = "cuda"
)

// Precision is the format of activations.
type Precision string

const (
	// PrecisionAuto takes BF16 where the device multiplies it natively, Float32 elsewhere.
	PrecisionAuto Precision = "auto"
	// Float32 is exact to the reference's float32 run.
	Float32 Precision = "float32"
	// BF16 rounds activations as the reference's usual bfloat16 run does.
	BF16 Precision = "bf16"
)

// ParseDevice accepts "", which means DeviceAuto.
func ParseDevice(name string) (Device, error) {
	switch d := Device(name); d {
	case "":
		return DeviceAuto, nil
	case DeviceAuto, DeviceCPU, DeviceCUDA:
		return d, nil
	}
	return "", fmt.Errorf("device %q, want auto, cpu or cuda", name)
}

// ParsePrecision accepts "", which means PrecisionAuto.
func ParsePrecision(name string) (Precision, error) {
	switch p := Precision(name); p {
	case "":
		return PrecisionAuto, nil
	case PrecisionAuto, Float32, BF16:
		return p, nil
	}
	return "", fmt.Errorf("precision %q, want auto, float32 or bf16", name)
}

// ErrNoCUDA is returned for DeviceCUDA: this version computes on the CPU only.
var ErrNoCUDA = errors.New("device cuda: this version of Kleinbild computes on the CPU only; use --device cpu or auto")

// openBackend is the one place that chooses a backend.
func openBackend(device Device, precision Precision) (backend.Backend, Precision, error) {
	device, err := ParseDevice(string(device))
	if err != nil {
		return nil, "", err
	}
	if device == DeviceCUDA {
		return nil, "", ErrNoCUDA
	}
	if precision, err = ParsePrecision(string(precision)); err != nil {
		return nil, "", err
	}
	if precision == PrecisionAuto {
		precision = Float32
		if cpu.NativeBF16() {
			precision = BF16
		}
	}
	if precision == BF16 {
		return cpu.New(tensor.BF16), precision, nil
	}
	return cpu.New(tensor.F32), precision, nil
}
