package inference

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Device says where to compute.
type Device string

const (
	DeviceAuto Device = "auto"
	DeviceCPU  Device = "cpu"
	DeviceCUDA Device = "cuda"
	// DeviceSim runs the kernels of DeviceCUDA in software and checks all that they do, thousands of times slower: a
	// device for tests.
	DeviceSim Device = "sim"
)

// Precision is the format of activations.
type Precision string

const (
	// PrecisionAuto is BF16 on graphics cards, and on a processor whose bfloat16 products were measured to be clearly
	// faster than its float32 products; otherwise it is Float32. If the model's weights are stored as int8, it is Int8 on
	// graphics cards, and on a processor whose int8 products are clearly faster still.
	PrecisionAuto Precision = "auto"
	// Float32 computes as the reference's float32 run does.
	Float32 Precision = "float32"
	// BF16 rounds activations as the reference's usual bfloat16 run does.
	BF16 Precision = "bf16"
	// Int8 computes products with weights of int8 in integers. It quantises the weights of the transformer's blocks if
	// they are bfloat16, float16 or float32. All else is computed as PrecisionAuto would for such a model.
	Int8 Precision = "int8"
	// FP8 computes products with weights of fp8 (e4m3) in it, on graphics cards that can. It quantises the weights of the
	// transformer's blocks if they are bfloat16, float16 or float32. All else is computed as by BF16.
	FP8 Precision = "fp8"
)

// Precisions are the names of all precisions.
var Precisions = []Precision{PrecisionAuto, Float32, BF16, Int8, FP8}

// ParseDevice accepts "", which means DeviceAuto.
func ParseDevice(name string) (Device, error) {
	switch d := Device(name); d {
	case "":
		return DeviceAuto, nil
	case DeviceAuto, DeviceCPU, DeviceCUDA, DeviceSim:
		return d, nil
	}
	return "", fmt.Errorf("device %q, want auto, cpu or cuda (or sim, for tests)", name)
}

// ParsePrecision accepts "", which means PrecisionAuto.
func ParsePrecision(name string) (Precision, error) {
	switch p := Precision(name); p {
	case "":
		return PrecisionAuto, nil
	case PrecisionAuto, Float32, BF16, Int8, FP8:
		return p, nil
	}
	return "", fmt.Errorf("precision %q, want auto, float32, bf16, int8 or fp8", name)
}

// ErrNoCUDA is wrapped by the error of Open if DeviceCUDA is asked for and no graphics card can be used.
var ErrNoCUDA = errors.New("device cuda")

// ErrNoFloat32 is wrapped by the error of Open if Float32 is asked for on a device that computes only in bf16.
var ErrNoFloat32 = errors.New("it computes in bf16, not in float32")

// ErrNoFP8 is wrapped by the error of Open if FP8 is asked for on a device that cannot compute in it.
var ErrNoFP8 = cuda.ErrNoFP8

// noDriverNotice lacks the places where the driver's library was searched for, which doctor shows.
var noDriverNotice = fmt.Sprintf("computing on the processor: %v", cu.ErrNoDriver)

// openBackend chooses and opens the backend for opts and a checkpoint; nothing else chooses one. Without a checkpoint,
// for an upscaler, the precision must not be int8 or fp8. p is the precision that it computes in. The notices say why a
// graphics card is not used, or why int8 or fp8 changes nothing.
func openBackend(
	opts Options, ckpt *checkpoint.Checkpoint,
) (b backend.Backend, p Precision, notices []string, err error) {
	device, err := ParseDevice(string(opts.Device))
	if err != nil {
		return nil, "", nil, err
	}
	precision, err := ParsePrecision(string(opts.Precision))
	if err != nil {
		return nil, "", nil, err
	}
	if device == DeviceCUDA || device == DeviceAuto {
		if _, err := cuda.Driver(); err != nil {
			return nil, "", nil, err
		}
	}
	switch device {
	case DeviceSim, DeviceCUDA:
		if precision == Float32 {
			return nil, "", nil, fmt.Errorf("device %s: %w, want bf16 or auto", device, ErrNoFloat32)
		}
		if device == DeviceSim {
			return openCUDA(cmp.Or(opts.sim, &sim), precision, ckpt)
		}
		if b, p, notices, err = openCUDA(&gpu, precision, ckpt); err != nil {
			err = fmt.Errorf("%w: %w", ErrNoCUDA, err)
		}
		return b, p, notices, err
	case DeviceAuto:
		if precision == Float32 {
			if _, err := cuda.Describe(); err == nil {
				notices = []string{"float32 is computed on the processor: the graphics card computes in bf16"}
			}
			break
		}
		b, p, notices, err = openCUDA(&gpu, precision, ckpt)
		if without := err; errors.Is(err, ErrNoFP8) {
			b, p, notices, err = openCUDA(&gpu, BF16, ckpt)
			notices = append(notices, fmt.Sprintf("computing in bf16: %v", without))
		}
		if err == nil {
			return b, p, notices, nil
		}
		notices = []string{fmt.Sprintf("computing on the processor: %v", err)}
		if errors.Is(err, cu.ErrNoDriver) {
			notices = []string{noDriverNotice}
		}
	}
	switch {
	case precision != FP8:
	case device == DeviceCPU:
		return nil, "", nil, fmt.Errorf("device cpu: it has %w", ErrNoFP8)
	default:
		notices, precision = append(notices, fmt.Sprintf("the processor has %v", ErrNoFP8)), PrecisionAuto
	}
	rates, err := processorPath()
	if err != nil {
		return nil, "", nil, err
	}
	b, p, more := openProcessor(precision, ckpt, rates)
	return b, p, append(notices, more...), nil
}

// openProcessor opens the processor's backend.
func openProcessor(
	precision Precision, ckpt *checkpoint.Checkpoint, rates pathRates,
) (b backend.Backend, p Precision, notices []string) {
	activation, auto := tensor.F32, Float32
	if precision == BF16 || precision != Float32 && cpu.Current().MultipliesBF16() {
		activation, auto = tensor.BF16, BF16
	}
	n, notices := narrowingFor(precision, ckpt, rates.int8IsFaster(), auto)
	switch {
	case n == nil:
		return cpu.New(activation), auto, notices
	case n.quantise:
		return cpu.NewInt8(activation, cpu.Int8{Quantise: true, Release: ckpt.Transformer.ReleaseData}), Int8, notices
	}
	return cpu.NewInt8(activation, cpu.Int8{}), Int8, notices
}

// narrowing says that products are computed in 8 bits, in which precision and format, and whether weights are quantised
// for that.
type narrowing struct {
	precision Precision
	format    tensor.DType
	quantise  bool
}

// narrowingFor returns nil unless products with the weights of a checkpoint are computed in 8 bits. faster says that
// the device is faster in int8 than in the precision `otherwise`. The notice says why int8 or fp8 changes nothing.
// Without a checkpoint no product is.
func narrowingFor(
	precision Precision, ckpt *checkpoint.Checkpoint, faster bool, otherwise Precision,
) (n *narrowing, notices []string) {
	if ckpt == nil {
		return nil, nil
	}
	// The blocks of the transformer are what is quantised. If only a part of them is stored as int8, auto leaves int8
	// alone: it would not quantise the rest, and so its pictures could not be repeated by asking for int8. It leaves files
	// of fp8 alone: rounding activations to fp8 costs more than widening such weights.
	blocks := func(formats ...tensor.DType) bool {
		return ckpt.Transformer.HasFormat("transformer_blocks.", formats...)
	}
	n = &narrowing{precision: Int8, format: tensor.I8}
	if precision == FP8 {
		n = &narrowing{precision: FP8, format: tensor.F8E4M3}
	}
	stored, wide := blocks(n.format), blocks(tensor.BF16, tensor.F16, tensor.F32)
	if precision == FP8 {
		stored = stored && scaledByRow(ckpt.Transformer.Source, n.format)
	}
	switch {
	case precision == n.precision && !stored && !wide:
		return nil, []string{fmt.Sprintf("%[1]s takes weights of bf16, f16, f32 and %[1]s: those of this model are %[2]s, "+
			"and are computed in %[3]s", n.precision, ckpt.Transformer.Formats(), otherwise)}
	case precision == n.precision:
		n.quantise = true
		return n, nil
	case precision == PrecisionAuto && stored && !wide && faster:
		return n, nil
	}
	return nil, nil
}

// scaledByRow says whether one of the matrices of a transformer's blocks is stored in a format with a scale for each
// row or one scale, and not with scales of blocks of columns, as mxfp8 is.
func scaledByRow(source tensor.Source, format tensor.DType) bool {
	return slices.ContainsFunc(source.Names(), func(name string) bool {
		if !strings.Contains(name, "transformer_blocks.") {
			return false
		}
		t, err := source.Tensor(name)
		return err == nil && t.DType == format && len(t.Shape) == 2 &&
			(t.Quant == nil || t.Quant.Blocks == nil && t.Quant.Columns == nil)
	})
}

// gpu and sim are the options for the graphics card and for the software device. The margin of memory is for compiled
// kernels, graphs, and the windows of other programs; its size is a guess that no measurement has confirmed yet. The
// software device uses small chunks, so that even the weights of tiny checkpoints come in several.
var (
	gpu = cuda.Options{Open: cuda.OpenGPU, Eager: true, Choices: kernelChoicesDir(), MarginBytes: 256 << 20}
	sim = cuda.Options{Open: cuda.OpenSoftware, ChunkBytes: 64 << 10}
)

// openCUDA opens the backend of a graphics card or of the software device. Products of int8 are the faster ones on all
// cards: they are twice to four times the arithmetic in the same time, and half the bytes. If the backend cannot be
// opened, openCUDA returns a nil interface, not an interface that holds a nil pointer.
func openCUDA(
	o *cuda.Options, precision Precision, ckpt *checkpoint.Checkpoint,
) (b backend.Backend, p Precision, notices []string, err error) {
	n, notices := narrowingFor(precision, ckpt, true, BF16)
	options := *o
	if p = BF16; n != nil {
		options.Narrow, p = &cuda.Narrow{DType: n.format, Quantise: n.quantise}, n.precision
	}
	opened, err := cuda.New(options)
	if err != nil {
		return nil, "", nil, err
	}
	return opened, p, notices, nil
}

// Graphics describes the graphics card that DeviceCUDA would use, or says why there is none.
func Graphics() (string, error) { return cuda.Describe() }

// Driver returns the name of the package through which kernels are launched on that card. If this program contains
// another one, it also says how to choose that.
func Driver() (string, error) {
	d, err := cuda.Driver()
	if err != nil {
		return "", err
	}
	var others []string
	for _, name := range cuda.DriverNames() {
		if name != d.Name() {
			others = append(others, fmt.Sprintf("$%s=%s", cuda.DriverVariable, name))
		}
	}
	if len(others) == 0 {
		return d.Name(), nil
	}
	return fmt.Sprintf("%s (%s chooses another)", d.Name(), strings.Join(others, ", ")), nil
}

// onProcessor says whether a backend computes on this computer's processor.
func onProcessor(b backend.Backend) bool {
	_, ok := b.(*cpu.Backend)
	return ok
}
