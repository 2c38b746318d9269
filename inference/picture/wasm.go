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

// libheif and libavif are C, compiled to WebAssembly, which runs in Go. What a file's header says of sizes need not be
// what its data have, and these decoders believe the data: so their memory and their time are bounded from outside.

// wasmLimit is a context that ends a decoder of a picture of so many pixels.
func wasmLimit(ctx context.Context, pixels int) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, wasmTime+time.Duration(pixels)*wasmTimePerPixel, errWASMTime)
}

var errWASMTime = errors.New("the decoder did not end in time")

// wasmModule is a decoder with memory of its own, which holds a file, and room for the numbers that a C function
// returns.
type wasmModule struct {
	ctx           context.Context
	format        string
	module        api.Module
	file, results uint32 // addresses
}

// wasmProgram is the decoder of a format.
type wasmProgram struct {
	format  string
	gzipped *[]byte
	once    sync.Once
	runtime wazero.Runtime
	code    wazero.CompiledModule
	err     error
}

// compile compiles the code for the processor, which takes half a second, when the first picture comes.
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

// start begins to decode a file, with room for so many results. The decoder ends with its context.
func (p *wasmProgram) start(ctx context.Context, file []byte, results int) (*wasmModule, error) {
	if err := p.compile(); err != nil {
		return nil, err
	}
	// Neither standard output nor standard error is given to it.
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

// linearMemory is a module's memory, with addresses for all that the module may have. Pages that it does not touch take
// nothing. The runtime's own memory grows by copying, which holds the old and the new at once, and leaves both to the
// garbage collector.
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

// failed says that the decoder gave up, was ended, or ran into a trap, whose text is a list of addresses.
func (m *wasmModule) failed() error {
	if m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	return fmt.Errorf("%s: invalid format: the pictures in it cannot be decoded", m.format)
}

// call calls a C function.
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

// allocate returns memory that is freed with the module.
func (m *wasmModule) allocate(bytes int) (uint32, error) {
	at, err := m.call("malloc", uint32(bytes))
	if err == nil && at == 0 {
		err = sizeErrorf("found a picture that takes more than %d MiB to decode", wasmMemoryBytes>>20)
	}
	return at, err
}

// values returns the numbers that the last call left, zeros where there are none.
func (m *wasmModule) values(n int) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i], _ = m.module.Memory().ReadUint32Le(m.results + uint32(4*i))
	}
	return list
}

// bytes returns a copy of memory, nil where there is none.
func (m *wasmModule) bytes(at uint32, n int) []byte {
	found, ok := m.module.Memory().Read(at, uint32(n))
	if !ok {
		return nil
	}
	return bytes.Clone(found)
}

// oneWASM lets pictures be decoded one after the other: each takes memory of its own.
var oneWASM = make(chan struct{}, 1)

// alone runs decode, which starts p, when no other decoder of WebAssembly runs, within the time for a picture of so
// many pixels. That does not count until p is compiled.
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

// stop is a listener that ends a module whose context is done.
//
// wazero's own way, WithCloseOnContextDone, looks at the context in each loop, which takes libavif four times as long.
// Here the context is looked at where large functions begin: a decoder calls some of them for each block of a picture.
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

// stopsIn listens to the functions of these numbers.
func stopsIn(functions map[uint32]bool) experimental.FunctionListenerFactory {
	return experimental.FunctionListenerFactoryFunc(func(f api.FunctionDefinition) experimental.FunctionListener {
		if functions[f.Index()] {
			return stop{}
		}
		return nil
	})
}

// largeFunction is the least code of a large function, in bytes: libheif has 56 of them, libavif 32. To look at the
// context in all of these costs no time that can be measured, and they stop within some milliseconds.
const largeFunction = 2048

// largeFunctions returns the numbers of the large functions of a module in WebAssembly's binary format.
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
		case imports: // of these modules, all are functions
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
