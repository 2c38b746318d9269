package picture

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// libheif and libavif are C libraries compiled to WebAssembly, which wazero runs. These decoders trust the sizes in the
// data, which may differ from those in the header, so memory and time are limited from outside.

// wasmLimit returns a context that limits the time of decoding a picture with so many pixels.
func wasmLimit(ctx context.Context, pixels int) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, wasmTime+time.Duration(pixels)*wasmTimePerPixel, errWASMTime)
}

var errWASMTime = errors.New("the decoder did not end in time")

// wasmModule is a running decoder with its own memory, in which lie the file and room for the results of a C function.
type wasmModule struct {
	ctx           context.Context
	format        string
	module        api.Module
	file, results uint32 // addresses in the module's memory
}

// wasmProgram is the compiled decoder of a format.
type wasmProgram struct {
	format  string
	gzipped *[]byte
	once    sync.Once
	runtime wazero.Runtime
	code    wazero.CompiledModule
	err     error
}

// compile compiles the module for the processor when the first picture is decoded, which takes half a second.
func (p *wasmProgram) compile() error {
	p.once.Do(func() {
		unzip, err := gzip.NewReader(bytes.NewReader(*p.gzipped))
		if err != nil {
			p.err = err
			return
		}
		code, err := io.ReadAll(unzip)
		if err != nil {
			p.err = err
			return
		}
		const pageBytes = 64 << 10
		ctx := experimental.WithFunctionListenerFactory(context.Background(), stopsIn(largeFunctions(code)))
		config := wazero.NewRuntimeConfig().WithMemoryLimitPages(wasmMemoryBytes / pageBytes)
		p.runtime = wazero.NewRuntimeWithConfig(ctx, config)
		if _, p.err = wasi_snapshot_preview1.Instantiate(ctx, p.runtime); p.err == nil {
			p.code, p.err = p.runtime.CompileModule(ctx, code)
		}
	})
	return p.err
}

// start instantiates the decoder, copies file into its memory and reserves room for so many 32-bit results. The decoder
// stops when ctx is done.
func (p *wasmProgram) start(ctx context.Context, file []byte, results int) (*wasmModule, error) {
	if err := p.compile(); err != nil {
		return nil, err
	}
	// The configuration gives the module no standard output and no standard error.
	inOnePiece := experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(newLinearMemory))
	module, err := p.runtime.InstantiateModule(inOnePiece, p.code, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	m := &wasmModule{ctx: ctx, format: p.format, module: module}
	if m.file, err = m.allocate(len(file)); err == nil {
		m.results, err = m.allocate(4 * results)
	}
	if err == nil && !m.module.Memory().Write(m.file, file) {
		err = m.failed()
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// linearMemory is the memory of a module. It reserves the addresses of the largest size at once; untouched pages take
// no memory. wazero's own memory grows by copying, so that old and new memory exist at the same time, and the garbage
// collector frees both late.
type linearMemory struct{ bytes []byte }

func newLinearMemory(_, most uint64) experimental.LinearMemory {
	return &linearMemory{make([]byte, 0, min(most, wasmMemoryBytes))}
}

// Reallocate implements experimental.LinearMemory.
func (l *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(cap(l.bytes)) {
		return nil
	}
	l.bytes = l.bytes[:size]
	return l.bytes
}

// Free implements experimental.LinearMemory.
func (l *linearMemory) Free() { l.bytes = nil }

func (m *wasmModule) close() { _ = m.module.Close(context.WithoutCancel(m.ctx)) }

// failed returns the error of a decoder that failed or was stopped. The text of a trap is only a list of addresses, so
// it is not included.
func (m *wasmModule) failed() error {
	if m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	return fmt.Errorf("%s: invalid format: the pictures in it cannot be decoded", m.format)
}

// call calls an exported C function.
func (m *wasmModule) call(name string, args ...uint32) (uint32, error) {
	stack := make([]uint64, len(args))
	for i, arg := range args {
		stack[i] = uint64(arg)
	}
	results, err := m.module.ExportedFunction(name).Call(m.ctx, stack...)
	if err != nil {
		return 0, m.failed()
	}
	return uint32(results[0]), nil
}

// allocate returns the address of new memory in the module. The memory is freed with the module.
func (m *wasmModule) allocate(bytes int) (uint32, error) {
	at, err := m.call("malloc", uint32(bytes))
	if err == nil && at == 0 {
		err = sizeErrorf("found a picture that takes more than %d MiB to decode", wasmMemoryBytes>>20)
	}
	return at, err
}

// values returns the first n results of the last call, or zeros if they lie outside the memory.
func (m *wasmModule) values(n int) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i], _ = m.module.Memory().ReadUint32Le(m.results + uint32(4*i))
	}
	return list
}

// bytes returns a copy of n bytes of the module's memory, or nil if they lie outside it.
func (m *wasmModule) bytes(at uint32, n int) []byte {
	found, ok := m.module.Memory().Read(at, uint32(n))
	if !ok {
		return nil
	}
	return bytes.Clone(found)
}

// oneWASM is held while a picture is decoded, so that only one module has memory at a time.
var oneWASM = make(chan struct{}, 1)

// alone runs decode, which starts p, while no other module runs. It limits the time of decode by the number of pixels.
// The time for compiling p does not count.
func (p *wasmProgram) alone(
	ctx context.Context, pixels int, decode func(context.Context) (image.Image, error),
) (image.Image, error) {
	select {
	case oneWASM <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-oneWASM }()
	if err := p.compile(); err != nil {
		return nil, err
	}
	ctx, cancel := wasmLimit(ctx, pixels)
	defer cancel()
	return decode(ctx)
}

// stop is a function listener that ends a module when its context is done.
//
// wazero's own option, WithCloseOnContextDone, checks the context in each loop, which makes libavif four times as slow.
// This listener checks it when a large function is called. A decoder calls several of these for each block of a
// picture.
type stop struct{}

func (stop) Before(
	ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, _ experimental.StackIterator,
) {
	if ctx.Err() != nil {
		panic(errStopped)
	}
}

func (stop) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {}
func (stop) Abort(context.Context, api.Module, api.FunctionDefinition, error)    {}

var errStopped = errors.New("stopped")

// stopsIn returns a factory that attaches stop to the functions with the given indices.
func stopsIn(functions map[uint32]bool) experimental.FunctionListenerFactory {
	return experimental.FunctionListenerFactoryFunc(func(f api.FunctionDefinition) experimental.FunctionListener {
		if functions[f.Index()] {
			return stop{}
		}
		return nil
	})
}

// largeFunction is the least size of a large function, in bytes of code. libheif has 56 such functions, libavif 32. To
// check the context in all of them takes no measurable time, and they stop within some milliseconds.
const largeFunction = 2048

// largeFunctions returns the indices of the large functions of a module in WebAssembly's binary format.
func largeFunctions(code []byte) map[uint32]bool {
	number := func(data []byte) (n uint64, rest []byte) {
		n, size := binary.Uvarint(data)
		return n, data[max(size, 0):]
	}
	const imports, functions = 2, 10
	large := map[uint32]bool{}
	imported := uint64(0)
	for rest := code[8:]; len(rest) > 0; {
		kind := rest[0]
		size, content := number(rest[1:])
		content, rest = content[:size], content[size:]
		count, content := number(content)
		switch kind {
		case imports: // these modules import functions only
			imported = count
		case functions:
			for i := range count {
				size, body := number(content)
				if int(size) >= largeFunction {
					large[uint32(imported+i)] = true
				}
				content = body[size:]
			}
		}
	}
	return large
}
