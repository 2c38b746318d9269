package ptxsim

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// A sample has the sources %x0, %x1, %x2 of an instruction and its result. x is r, h or d for the same values in 32, 16
// or 64 bits. The result is in %r5, %h5, %d5 or, as 0 or 1, in %p5.
type sample struct{ a, b, c, want uint64 }

func f(x float32) uint64 { return uint64(math.Float32bits(x)) }
func g(x float64) uint64 { return math.Float64bits(x) }

const (
	nan32 = 0x7fffffff
	inf32 = 0x7f800000
	minus = 1 << 31
)

var negative32 = func(x int32) uint64 { return uint64(uint32(x)) }
var negative64 = func(x int64) uint64 { return uint64(x) }

// opcodes has pieces of code with their samples. The letter after the code is the kind of the result's register.
var opcodes = []struct {
	code    string
	result  string
	samples []sample
}{
	{"add.s32 %r5, %r0, %r1;", "r", []sample{{1, 2, 0, 3}, {0xffffffff, 1, 0, 0}, {1 << 31, 1 << 31, 0, 0}}},
	{"add.sat.s32 %r5, %r0, %r1;", "r",
		[]sample{{0x7fffffff, 1, 0, 0x7fffffff}, {1 << 31, 0xffffffff, 0, 1 << 31}, {5, 6, 0, 11}}},
	{"add.u16 %h5, %h0, %h1;", "h", []sample{{0xffff, 2, 0, 1}, {3, 4, 0, 7}}},
	{"add.s64 %d5, %d0, %d1;", "d", []sample{{1 << 40, 1, 0, 1<<40 + 1}, {negative64(-1), 1, 0, 0}}},
	{"add.cc.u32 %r4, %r0, %r1; addc.u32 %r5, %r2, 0;", "r", []sample{{0xffffffff, 1, 7, 8}, {1, 1, 7, 7}}},
	{"sub.cc.u32 %r4, %r0, %r1; subc.u32 %r5, %r2, 0;", "r", []sample{{0, 1, 7, 6}, {1, 1, 7, 7}}},
	{"sub.s32 %r5, %r0, %r1;", "r", []sample{{1, 2, 0, 0xffffffff}, {9, 2, 0, 7}}},
	{"sub.s64 %d5, %d0, %d1;", "d", []sample{{1, 2, 0, negative64(-1)}}},
	{"sub.s16 %h5, %h0, %h1;", "h", []sample{{1, 2, 0, 0xffff}}},
	{"mul.lo.s32 %r5, %r0, %r1;", "r", []sample{{3, 5, 0, 15}, {0x10000, 0x10001, 0, 0x10000}}},
	{"mul.hi.s32 %r5, %r0, %r1;", "r", []sample{{negative32(-2), 3, 0, 0xffffffff}, {1 << 30, 8, 0, 2}}},
	{"mul.hi.u32 %r5, %r0, %r1;", "r", []sample{{0xffffffff, 0xffffffff, 0, 0xfffffffe}}},
	{"mul.wide.s32 %d5, %r0, %r1;", "d", []sample{{negative32(-2), 3, 0, negative64(-6)}}},
	{"mul.wide.u32 %d5, %r0, %r1;", "d", []sample{{0xffffffff, 2, 0, 0x1fffffffe}}},
	{"mul.wide.s16 %r5, %h0, %h1;", "r", []sample{{0xfffe, 3, 0, negative32(-6)}}},
	{"mul.wide.u16 %r5, %h0, %h1;", "r", []sample{{0xffff, 0xffff, 0, 0xfffe0001}}},
	{"mul.lo.s64 %d5, %d0, %d1;", "d", []sample{{1 << 33, 3, 0, 3 << 33}}},
	{"mul.hi.u64 %d5, %d0, %d1;", "d", []sample{{1 << 63, 4, 0, 2}}},
	{"mul.hi.s64 %d5, %d0, %d1;", "d", []sample{{negative64(-1), 5, 0, negative64(-1)}, {1 << 62, 8, 0, 2}}},
	{"mul.lo.u16 %h5, %h0, %h1;", "h", []sample{{0x101, 0x100, 0, 0x100}}},
	{"mad.lo.s32 %r5, %r0, %r1, %r2;", "r", []sample{{3, 4, 5, 17}, {negative32(-1), 4, 5, 1}}},
	{"mad.hi.u32 %r5, %r0, %r1, %r2;", "r", []sample{{1 << 31, 4, 5, 7}}},
	{"mad.wide.u32 %d5, %r0, %r1, %d2;", "d", []sample{{1 << 31, 4, 5, 1<<33 + 5}}},
	{"mad.wide.s32 %d5, %r0, %r1, %d2;", "d", []sample{{negative32(-3), 4, 5, negative64(-7)}}},
	{"mad.lo.u16 %h5, %h0, %h1, %h2;", "h", []sample{{0xff, 0x101, 1, 0}}},
	{"mad.lo.s64 %d5, %d0, %d1, %d2;", "d", []sample{{1 << 33, 3, 5, 3<<33 + 5}}},
	{"mul24.lo.u32 %r5, %r0, %r1;", "r", []sample{{0xff000002, 3, 0, 6}}},
	{"mad24.lo.s32 %r5, %r0, %r1, %r2;", "r", []sample{{0xffffff, 3, 10, 7}}},
	{"sad.u32 %r5, %r0, %r1, %r2;", "r", []sample{{3, 10, 1, 8}, {10, 3, 1, 8}}},
	{"sad.s32 %r5, %r0, %r1, %r2;", "r", []sample{{negative32(-3), 4, 1, 8}}},
	{"div.s32 %r5, %r0, %r1;", "r", []sample{{negative32(-7), 2, 0, negative32(-3)}, {7, 2, 0, 3}}},
	{"div.u32 %r5, %r0, %r1;", "r", []sample{{negative32(-7), 2, 0, 0x7ffffffc}}},
	{"rem.s32 %r5, %r0, %r1;", "r", []sample{{negative32(-7), 2, 0, negative32(-1)}}},
	{"rem.u64 %d5, %d0, %d1;", "d", []sample{{1<<40 + 3, 1 << 20, 0, 3}}},
	{"div.s64 %d5, %d0, %d1;", "d", []sample{{negative64(-9), 2, 0, negative64(-4)}}},
	{"abs.s32 %r5, %r0;", "r", []sample{{negative32(-7), 0, 0, 7}, {7, 0, 0, 7}}},
	{"neg.s32 %r5, %r0;", "r", []sample{{7, 0, 0, negative32(-7)}}},
	{"neg.s16 %h5, %h0;", "h", []sample{{7, 0, 0, 0xfff9}}},
	{"abs.s64 %d5, %d0;", "d", []sample{{negative64(-7), 0, 0, 7}}},
	{"min.s32 %r5, %r0, %r1;", "r", []sample{{negative32(-7), 2, 0, negative32(-7)}, {3, 2, 0, 2}}},
	{"min.u32 %r5, %r0, %r1;", "r", []sample{{negative32(-7), 2, 0, 2}}},
	{"max.s32 %r5, %r0, %r1;", "r", []sample{{negative32(-7), 2, 0, 2}}},
	{"max.u64 %d5, %d0, %d1;", "d", []sample{{negative64(-7), 2, 0, negative64(-7)}}},
	{"max.s16 %h5, %h0, %h1;", "h", []sample{{0xfff9, 2, 0, 2}}},
	{"dp4a.s32.s32 %r5, %r0, %r1, %r2;", "r", []sample{{0xff020304, 0x01010101, 10, 18}}},
	{"dp4a.u32.s32 %r5, %r0, %r1, %r2;", "r", []sample{{0xff000001, 0xff000001, 0, negative32(-254)}}},
	{"dp2a.lo.s32.u32 %r5, %r0, %r1, %r2;", "r", []sample{{0xffff0002, 0x00000503, 1, 2}}},

	{"and.b32 %r5, %r0, %r1;", "r", []sample{{12, 10, 0, 8}}},
	{"or.b32 %r5, %r0, %r1;", "r", []sample{{12, 10, 0, 14}}},
	{"xor.b32 %r5, %r0, %r1;", "r", []sample{{12, 10, 0, 6}}},
	{"and.b64 %d5, %d0, %d1;", "d", []sample{{12 << 40, 10 << 40, 0, 8 << 40}}},
	{"xor.b16 %h5, %h0, %h1;", "h", []sample{{12, 10, 0, 6}}},
	{"not.b32 %r5, %r0;", "r", []sample{{1, 0, 0, 0xfffffffe}}},
	{"not.b16 %h5, %h0;", "h", []sample{{1, 0, 0, 0xfffe}}},
	{"cnot.b32 %r5, %r0;", "r", []sample{{5, 0, 0, 0}, {0, 0, 0, 1}}},
	{"shl.b32 %r5, %r0, %r1;", "r", []sample{{1, 31, 0, 1 << 31}, {1, 32, 0, 0}, {1, 0xffffffff, 0, 0}}},
	{"shr.u32 %r5, %r0, %r1;", "r", []sample{{1 << 31, 31, 0, 1}, {1 << 31, 32, 0, 0}}},
	{"shr.s32 %r5, %r0, %r1;", "r", []sample{{1 << 31, 31, 0, 0xffffffff}, {1 << 31, 99, 0, 0xffffffff}}},
	{"shl.b64 %d5, %d0, %r1;", "d", []sample{{1, 63, 0, 1 << 63}, {1, 64, 0, 0}}},
	{"shr.s64 %d5, %d0, %r1;", "d", []sample{{1 << 63, 63, 0, negative64(-1)}, {1 << 63, 70, 0, negative64(-1)}}},
	{"shl.b16 %h5, %h0, %r1;", "h", []sample{{3, 15, 0, 0x8000}}},
	{"shr.s16 %h5, %h0, %r1;", "h", []sample{{0x8000, 4, 0, 0xf800}, {0x8000, 40, 0, 0xffff}}},
	{"shf.l.wrap.b32 %r5, %r0, %r1, %r2;", "r", []sample{{0x80000000, 1, 1, 3}, {5, 7, 32, 7}}},
	{"shf.r.clamp.b32 %r5, %r0, %r1, %r2;", "r", []sample{{0, 3, 1, 0x80000000}, {5, 7, 40, 7}}},
	{"lop3.b32 %r5, %r0, %r1, %r2, 0x96;", "r", []sample{{0xf0, 0xcc, 0xaa, 0x96}}},
	{"lop3.b32 %r5, %r0, %r1, %r2, 0xe8;", "r", []sample{{0xf0, 0xcc, 0xaa, 0xe8}}},
	{"prmt.b32 %r5, %r0, %r1, %r2;", "r",
		[]sample{{0x33221100, 0x77665544, 0x7531, 0x77553311}, {0x80, 0, 0x8, 0x808080ff},
			{0x33221100, 0, 0x0123, 0x00112233}}},
	{"prmt.b32.f4e %r5, %r0, %r1, %r2;", "r", []sample{{0x33221100, 0x77665544, 1, 0x44332211}}},
	{"prmt.b32.rc16 %r5, %r0, %r1, %r2;", "r", []sample{{0x33221100, 0, 1, 0x33223322}}},
	{"popc.b32 %r5, %r0;", "r", []sample{{0xf0f, 0, 0, 8}}},
	{"popc.b64 %r5, %d0;", "r", []sample{{0xf0f << 30, 0, 0, 8}}},
	{"clz.b32 %r5, %r0;", "r", []sample{{1, 0, 0, 31}, {0, 0, 0, 32}}},
	{"clz.b64 %r5, %d0;", "r", []sample{{1, 0, 0, 63}, {0, 0, 0, 64}}},
	{"brev.b32 %r5, %r0;", "r", []sample{{1, 0, 0, 1 << 31}}},
	{"bfind.u32 %r5, %r0;", "r", []sample{{0x100, 0, 0, 8}, {0, 0, 0, 0xffffffff}}},
	{"bfind.shiftamt.s32 %r5, %r0;", "r", []sample{{negative32(-2), 0, 0, 31}, {0xffffffff, 0, 0, 0xffffffff}}},
	{"bfe.u32 %r5, %r0, %r1, %r2;", "r", []sample{{0xabcd, 4, 8, 0xbc}, {0xabcd, 4, 0, 0}, {0xf0000000, 28, 16, 15}}},
	{"bfe.s32 %r5, %r0, %r1, %r2;", "r", []sample{{0xabcd, 4, 8, 0xffffffbc}, {0xf0000000, 28, 16, 0xffffffff}}},
	{"bfi.b32 %r5, %r0, %r1, 8, 4;", "r", []sample{{0xff, 0, 0, 0xf00}, {0, 0xffff, 0, 0xf0ff}}},
	{"bfi.b64 %d5, %d0, %d1, 40, 4;", "d", []sample{{0xff, 0, 0, 0xf << 40}}},
	{"bmsk.clamp.b32 %r5, %r0, %r1;", "r", []sample{{4, 3, 0, 0x70}, {0, 40, 0, 0xffffffff}}},
	{"szext.wrap.s32 %r5, %r0, %r1;", "r", []sample{{0xff, 4, 0, 0xffffffff}, {0x17, 4, 0, 7}}},
	{"setp.lt.s32 %p4, %r0, %r1; xor.pred %p5, %p4, %p6;", "p", []sample{{negative32(-1), 1, 0, 1}, {2, 1, 0, 0}}},

	{"mov.b32 %r5, {%h0, %h1};", "r", []sample{{0x1234, 0x5678, 0, 0x56781234}}},
	{"mov.b32 {%h4, %h5}, %r0;", "h", []sample{{0x56781234, 0, 0, 0x5678}}},
	{"mov.b64 {%r4, %r5}, %d0;", "r", []sample{{0x5678 << 32, 0, 0, 0x5678}}},
	{"mov.b64 %d5, {%r0, %r1};", "d", []sample{{1, 2, 0, 2<<32 + 1}}},
	{"mov.b64 {%r5, _}, %d0;", "r", []sample{{7<<32 + 9, 0, 0, 9}}},
	{"selp.b32 %r5, %r0, %r1, %p6;", "r", []sample{{1, 2, 0, 2}}},
	{"selp.b64 %d5, %d0, %d1, !%p6;", "d", []sample{{1 << 40, 2, 0, 1 << 40}}},
	{"slct.u32.s32 %r5, %r0, %r1, %r2;", "r", []sample{{1, 2, 0, 1}, {1, 2, negative32(-1), 2}}},
	{"slct.b32.f32 %r5, %r0, %r1, %r2;", "r", []sample{{1, 2, f(-1), 2}, {1, 2, nan32, 2}, {1, 2, minus, 1}}},

	{"setp.eq.s32 %p5, %r0, %r1;", "p", []sample{{1, 1, 0, 1}, {1, 2, 0, 0}}},
	{"setp.ne.b64 %p5, %d0, %d1;", "p", []sample{{1 << 40, 1, 0, 1}, {1, 1, 0, 0}}},
	{"setp.hi.u32 %p5, %r0, %r1;", "p", []sample{{0xffffffff, 1, 0, 1}, {1, 1, 0, 0}}},
	{"setp.ls.u64 %p5, %d0, %d1;", "p", []sample{{1 << 63, 1, 0, 0}, {1, 1, 0, 1}}},
	{"setp.gt.s64 %p5, %d0, %d1;", "p", []sample{{1 << 63, 1, 0, 0}, {3, 1, 0, 1}}},
	{"setp.ge.s16 %p5, %h0, %h1;", "p", []sample{{0xffff, 1, 0, 0}, {1, 1, 0, 1}}},
	{"setp.lt.f32 %p5, %r0, %r1;", "p", []sample{{f(1), f(2), 0, 1}, {nan32, f(2), 0, 0}}},
	{"setp.ltu.f32 %p5, %r0, %r1;", "p", []sample{{f(3), f(2), 0, 0}, {nan32, f(2), 0, 1}}},
	{"setp.neu.f32 %p5, %r0, %r1;", "p", []sample{{f(1), f(1), 0, 0}, {nan32, nan32, 0, 1}}},
	{"setp.ne.f32 %p5, %r0, %r1;", "p", []sample{{f(1), f(2), 0, 1}, {nan32, nan32, 0, 0}}},
	{"setp.eq.f32 %p5, %r0, %r1;", "p", []sample{{0, minus, 0, 1}}},
	{"setp.num.f32 %p5, %r0, %r1;", "p", []sample{{f(1), f(1), 0, 1}, {f(1), nan32, 0, 0}}},
	{"setp.nan.f64 %p5, %d0, %d1;", "p", []sample{{g(1), g(math.NaN()), 0, 1}, {g(1), g(2), 0, 0}}},
	{"setp.geu.f64 %p5, %d0, %d1;", "p", []sample{{g(1), g(math.NaN()), 0, 1}, {g(1), g(2), 0, 0}}},
	{"setp.lt.ftz.f32 %p5, %r0, %r1;", "p", []sample{{0, 5, 0, 0}}},
	{"setp.gt.bf16 %p5, %h0, %h1;", "p", []sample{{0x4000, 0x3f80, 0, 1}, {0x3f80, 0x4000, 0, 0}}},
	{"setp.lt.f16x2 %p4|%p5, %r0, %r1;", "p", []sample{{0x3c000000, 0x40000000, 0, 1}, {0x3c000000, 0x00003c00, 0, 0}}},
	{"setp.lt.and.s32 %p5, %r0, %r1, !%p6;", "p", []sample{{1, 2, 0, 1}, {2, 1, 0, 0}}},
	{"setp.lt.s32 %p4|%p5, %r0, %r1;", "p", []sample{{1, 2, 0, 0}, {2, 1, 0, 1}}},
	{"set.lt.u32.s32 %r5, %r0, %r1;", "r", []sample{{1, 2, 0, 0xffffffff}, {2, 1, 0, 0}}},
	{"set.gtu.f32.f32 %r5, %r0, %r1;", "r", []sample{{nan32, f(1), 0, f(1)}, {f(0), f(1), 0, 0}}},
	{"testp.subnormal.f32 %p5, %r0;", "p", []sample{{1, 0, 0, 1}, {f(1), 0, 0, 0}}},

	{"add.rn.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(0x1p-24), 0, f(1)}, {f(1), f(3), 0, f(4)}}},
	{"add.rz.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(-0x1p-30), 0, f(1 - 0x1p-24)}}},
	{"add.rp.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(0x1p-30), 0, f(1 + 0x1p-23)}}},
	{"add.ftz.f32 %r5, %r0, %r1;", "r", []sample{{1, 1, 0, 0}}},
	{"add.sat.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(3), 0, f(1)}, {f(-1), f(0.5), 0, 0}, {nan32, 0, 0, 0}}},
	{"sub.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(3), 0, f(-2)}}},
	{"mul.f32 %r5, %r0, %r1;", "r", []sample{{f(1.5), f(3), 0, f(4.5)}, {f(0x1p-100), f(0x1p-40), 0, 1 << 9}}},
	{"fma.rn.f32 %r5, %r0, %r1, %r2;", "r",
		[]sample{{f(2), f(3), f(4), f(10)}, {f(1 + 0x1p-23), f(1 + 0x1p-23), f(-1 - 0x1p-22), f(0x1p-46)},
			{f(1 + 0x1p-12), f(1 + 0x1p-12), f(0x1p-60), f(1 + 0x1p-11 + 0x1p-23)}, {f(0x1p-75), f(0x1p-75), f(0x1p-149), 2},
			{f(0x1p-75), f(0x1p-75), 0, 0}}},
	{"div.rn.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(3), 0, f(1.0 / 3)}, {f(1), 0, 0, inf32}}},
	{"div.full.f32 %r5, %r0, %r1;", "r", []sample{{f(7), f(2), 0, f(3.5)}}},
	{"min.f32 %r5, %r0, %r1;", "r", []sample{{f(1), nan32, 0, f(1)}, {0, minus, 0, minus}, {f(2), f(1), 0, f(1)}}},
	{"max.NaN.f32 %r5, %r0, %r1;", "r", []sample{{f(1), nan32, 0, nan32}, {minus, 0, 0, 0}, {f(2), f(1), 0, f(2)}}},
	{"max.xorsign.abs.f32 %r5, %r0, %r1;", "r", []sample{{f(-3), f(2), 0, f(-3)}, {f(-3), f(-4), 0, f(4)}}},
	{"abs.f32 %r5, %r0;", "r", []sample{{f(-3), 0, 0, f(3)}}},
	{"neg.ftz.f32 %r5, %r0;", "r", []sample{{1, 0, 0, minus}, {f(2), 0, 0, f(-2)}}},
	{"copysign.f32 %r5, %r0, %r1;", "r", []sample{{f(-3), f(2), 0, f(-2)}}},
	{"rcp.approx.ftz.f32 %r5, %r0;", "r", []sample{{f(4), 0, 0, f(0.25)}, {1, 0, 0, inf32}}},
	{"rsqrt.approx.f32 %r5, %r0;", "r", []sample{{f(4), 0, 0, f(0.5)}, {f(-1), 0, 0, nan32}}},
	{"sqrt.rn.f32 %r5, %r0;", "r", []sample{{f(2), 0, 0, f(math.Sqrt2)}}},
	{"ex2.approx.ftz.f32 %r5, %r0;", "r", []sample{{f(3), 0, 0, f(8)}, {f(-200), 0, 0, 0}}},
	{"lg2.approx.f32 %r5, %r0;", "r", []sample{{f(8), 0, 0, f(3)}}},
	{"sin.approx.f32 %r5, %r0;", "r", []sample{{0, 0, 0, 0}}},
	{"cos.approx.f32 %r5, %r0;", "r", []sample{{0, 0, 0, f(1)}}},
	{"tanh.approx.f32 %r5, %r0;", "r", []sample{{f(20), 0, 0, f(1)}}},
	{"add.f64 %d5, %d0, %d1;", "d", []sample{{g(1), g(2), 0, g(3)}}},
	{"fma.rn.f64 %d5, %d0, %d1, %d2;", "d", []sample{{g(2), g(3), g(4), g(10)}}},
	{"div.rn.f64 %d5, %d0, %d1;", "d", []sample{{g(1), g(3), 0, g(1.0 / 3)}}},
	{"max.f64 %d5, %d0, %d1;", "d", []sample{{g(1), g(math.NaN()), 0, g(1)}}},
	{"fma.rn.bf16x2 %r5, %r0, %r1, %r2;", "r", []sample{{0x40003f80, 0x40004000, 0x3f803f80, 0x40a04040}}},
	{"fma.rn.relu.bf16 %h5, %h0, %h1, %h2;", "h", []sample{{0xc000, 0x3f80, 0, 0}, {0x4000, 0x3f80, 0, 0x4000}}},
	{"fma.rn.f16x2 %r5, %r0, %r1, %r2;", "r", []sample{{0x40003c00, 0x40004000, 0x3c003c00, 0x45004200}}},
	{"add.f16 %h5, %h0, %h1;", "h", []sample{{0x3c00, 0x4000, 0, 0x4200}}},
	{"max.bf16x2 %r5, %r0, %r1;", "r", []sample{{0x3f804000, 0x40003f80, 0, 0x40004000}}},
	{"min.NaN.f16 %h5, %h0, %h1;", "h", []sample{{0x3c00, 0x7e00, 0, 0x7fff}}},
	{"neg.bf16x2 %r5, %r0;", "r", []sample{{0x3f80bf80, 0, 0, 0xbf803f80}}},
	{"tanh.approx.f16 %h5, %h0;", "h", []sample{{0, 0, 0, 0}}},

	{"cvt.u64.u32 %d5, %r0;", "d", []sample{{0xffffffff, 0, 0, 0xffffffff}}},
	{"cvt.s64.s32 %d5, %r0;", "d", []sample{{0xffffffff, 0, 0, negative64(-1)}}},
	{"cvt.u32.u64 %r5, %d0;", "r", []sample{{1<<40 + 5, 0, 0, 5}}},
	{"cvt.s32.s16 %r5, %h0;", "r", []sample{{0xffff, 0, 0, 0xffffffff}}},
	{"cvt.u32.u8 %r5, %r0;", "r", []sample{{0x1ff, 0, 0, 0xff}}},
	{"cvt.s32.s8 %r5, %r0;", "r", []sample{{0x80, 0, 0, 0xffffff80}}},
	{"cvt.s64.s8 %d5, %d0;", "d", []sample{{0x180, 0, 0, negative64(-128)}}},
	{"cvt.sat.u8.s32 %r5, %r0;", "r", []sample{{negative32(-4), 0, 0, 0}, {300, 0, 0, 255}}},
	{"cvt.sat.s16.s32 %h5, %r0;", "h", []sample{{negative32(-40000), 0, 0, 0x8000}}},
	{"cvt.pack.sat.s8.s32.b32 %r5, %r0, %r1, %r2;", "r",
		[]sample{{127, negative32(-128), 0x12345678, 0x56787f80}, {128, negative32(-129), 0, 0x7f80},
			{0x7fffffff, 1 << 31, 0, 0x7f80}, {negative32(-1), 1, 0xffff, 0xffffff01}}},
	{"cvt.pack.sat.u8.s32.b32 %r5, %r0, %r1, 0;", "r", []sample{{256, negative32(-1), 0, 0xff00}, {5, 200, 0, 0x5c8}}},
	{"cvt.pack.sat.s16.s32 %r5, %r0, %r1;", "r", []sample{{40000, negative32(-40000), 0, 0x7fff8000}, {1, 2, 0, 0x10002}}},
	{"cvt.pack.sat.u16.s32 %r5, %r0, %r1;", "r", []sample{{70000, negative32(-1), 0, 0xffff0000}}},
	{"cvt.rn.f32.s32 %r5, %r0;", "r", []sample{{negative32(-3), 0, 0, f(-3)}, {0x1000001, 0, 0, f(0x1000000)}}},
	{"cvt.rz.f32.u64 %r5, %d0;", "r", []sample{{1<<63 + 1, 0, 0, f(0x1p63)}, {1<<32 - 1, 0, 0, f(0x1p32 - 0x1p8)}}},
	{"cvt.rn.f32.u64 %r5, %d0;", "r",
		[]sample{{1<<60 + 1<<36, 0, 0, f(0x1p60)}, {1<<60 + 1<<36 + 1, 0, 0, f(0x1p60 + 0x1p37)}}},
	{"cvt.rzi.s32.f32 %r5, %r0;", "r",
		[]sample{{f(-2.9), 0, 0, negative32(-2)}, {f(1e20), 0, 0, 0x7fffffff}, {nan32, 0, 0, 0}}},
	{"cvt.rni.u32.f32 %r5, %r0;", "r", []sample{{f(2.5), 0, 0, 2}, {f(-5), 0, 0, 0}, {f(3.5), 0, 0, 4}}},
	{"cvt.rni.s32.f32 %r5, %r0;", "r",
		[]sample{{f(2.5), 0, 0, 2}, {f(-3.5), 0, 0, negative32(-4)}, {f(-0x1p31), 0, 0, 1 << 31}, {inf32, 0, 0, 0x7fffffff}}},
	{"cvt.rni.sat.s8.f32 %r5, %r0;", "r",
		[]sample{{f(126.5), 0, 0, 126}, {f(127.5), 0, 0, 127}, {f(1e9), 0, 0, 127}, {f(-128.5), 0, 0, negative32(-128)},
			{f(-1e9), 0, 0, negative32(-128)}, {f(-0.5), 0, 0, 0}, {f(-1.5), 0, 0, negative32(-2)}, {nan32, 0, 0, 0}}},
	{"cvt.rni.sat.s8.f32 %h5, %r0;", "h", []sample{{f(-200), 0, 0, 0xff80}, {f(3.5), 0, 0, 4}}},
	{"cvt.rni.f32.f32 %r5, %r0;", "r", []sample{{f(2.5), 0, 0, f(2)}, {f(-0.25), 0, 0, minus}}},
	{"mov.u64 %d4, slots; cvta.shared.u64 %d4, %d4; mad.wide.u32 %d4, %r6, 4, %d4; st.u32 [%d4], %r0; " +
		"cvt.u16.u32 %h4, %r1; st.b8 [%d4+1], %h4; st.b8 [%d4+3], %r2; ld.u32 %r5, [%d4];",
		"r", []sample{{0x11223344, 0x1ff, 0x280, 0x8022ff44}}},
	{"cvt.rmi.s64.f32 %d5, %r0;", "d", []sample{{f(-2.1), 0, 0, negative64(-3)}}},
	{"cvt.rpi.f32.f32 %r5, %r0;", "r", []sample{{f(2.1), 0, 0, f(3)}}},
	{"cvt.f64.f32 %d5, %r0;", "d", []sample{{f(1.5), 0, 0, g(1.5)}}},
	{"cvt.rn.f32.f64 %r5, %d0;", "r", []sample{{g(1.1), 0, 0, f(1.1)}}},
	{"cvt.sat.f32.f32 %r5, %r0;", "r", []sample{{f(2), 0, 0, f(1)}}},
	{"cvt.rn.bf16.f32 %h5, %r0;", "h",
		[]sample{{0x3f808000, 0, 0, 0x3f80}, {0x3f818000, 0, 0, 0x3f82}, {nan32, 0, 0, 0x7fff}, {0x7f7fffff, 0, 0, 0x7f80}}},
	{"cvt.rz.bf16.f32 %h5, %r0;", "h", []sample{{0x3f81ffff, 0, 0, 0x3f81}}},
	{"cvt.rn.relu.bf16.f32 %h5, %r0;", "h", []sample{{f(-1), 0, 0, 0}, {f(1), 0, 0, 0x3f80}}},
	{"cvt.rn.bf16x2.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(2), 0, 0x3f804000}}},
	{"cvt.rn.relu.bf16x2.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(-2), 0, 0x3f800000}}},
	{"cvt.rn.f16.f32 %h5, %r0;", "h",
		[]sample{{f(65504), 0, 0, 0x7bff}, {f(65520), 0, 0, 0x7c00}, {f(0x1p-25), 0, 0, 0}, {f(0x1.8p-25), 0, 0, 1}}},
	{"cvt.rn.f16x2.f32 %r5, %r0, %r1;", "r", []sample{{f(1), f(2), 0, 0x3c004000}}},
	{"cvt.f32.f16 %r5, %h0;", "r", []sample{{0x3c00, 0, 0, f(1)}, {1, 0, 0, f(0x1p-24)}}},
	{"cvt.f32.bf16 %r5, %h0;", "r", []sample{{0x3f80, 0, 0, f(1)}}},
	{"cvt.rna.tf32.f32 %r5, %r0;", "r", []sample{{0x3f801000, 0, 0, 0x3f802000}}},
	{"cvt.rn.satfinite.e4m3x2.f32 %h5, %r0, %r1;", "h",
		[]sample{{f(1), f(1000), 0, 0x387e}, {f(-0.5), f(448), 0, 0xb07e}, {nan32, minus, 0, 0x7f80},
			// Ties go to the even mantissa, subnormal numbers are multiples of 2^-9, and infinity becomes 448.
			{f(17), f(19), 0, 0x585a}, {f(0x1p-10), f(0x1.8p-9), 0, 0x0002}, {f(-464), inf32, 0, 0xfe7e}}},
	{"cvt.rn.f16x2.e4m3x2 %r5, %h0;", "r", []sample{{0x387e, 0, 0, 0x3c005f00}}},
	{"cvt.rn.satfinite.e5m2x2.f32 %h5, %r0, %r1;", "h", []sample{{f(1), f(1e9), 0, 0x3c7b}}},

	{"@%p6 bra over; mov.b32 %r5, 1; bra done; over: mov.b32 %r5, 2; done:", "r", []sample{{0, 0, 0, 1}}},
	{"mov.b32 %r5, 0; again: add.s32 %r5, %r5, 2; setp.lt.s32 %p5, %r5, %r0; @%p5 bra again;", "r",
		[]sample{{7, 0, 0, 8}, {1, 0, 0, 2}, {20, 0, 0, 20}}},
	{"table: .branchtargets first, second, third; brx.idx %r0, table; first: mov.b32 %r5, 10; bra done; " +
		"second: mov.b32 %r5, 20; bra done; third: mov.b32 %r5, 30; done:",
		"r", []sample{{0, 0, 0, 10}, {1, 0, 0, 20}, {2, 0, 0, 30}}},
	{"{ .param .b32 x; .param .b32 y; st.param.b32 [x], %r0; call.uni (y), twice, (x); ld.param.b32 %r5, [y]; }", "r",
		[]sample{{4, 0, 0, 8}, {5, 0, 0, 10}}},
	{"mov.u64 %d4, stack; cvta.local.u64 %d4, %d4; st.u32 [%d4+4], %r0; cvta.to.local.u64 %d4, %d4; " +
		"ld.local.s16 %r5, [%d4+4];", "r", []sample{{0xffff, 0, 0, 0xffffffff}}},
	{"ld.const.u8 %r5, [bytes+2];", "r", []sample{{0, 0, 0, 7}}},
	{"mov.u64 %d4, words; ld.global.nc.v2.u32 {%r4, %r5}, [%d4];", "r", []sample{{0, 0, 0, 0x40490fdb}}},
	{"ld.global.u64 %d4, [pointer]; ld.global.u32 %r5, [%d4];", "r", []sample{{0, 0, 0, 5}}},
	{"activemask.b32 %r4; popc.b32 %r4, %r4; setp.gt.u32 %p5, %r4, 0;", "p", []sample{{0, 0, 0, 1}}},
	{"mov.u32 %r4, %laneid; mov.u32 %r3, %tid.x; sub.u32 %r4, %r4, %r3; setp.eq.u32 %p5, %r4, 0;", "p",
		[]sample{{0, 0, 0, 1}}},
	{"atom.acq_rel.sys.global.cas.b32 %r5, [words], 6, 7;", "r", []sample{{0, 0, 0, 5}}},
	{"mov.u64 %d4, slots; cvta.shared.u64 %d4, %d4; mad.wide.u32 %d4, %r6, 4, %d4; st.u32 [%d4], %r0; " +
		"isspacep.shared %p4, %d4; cvta.to.shared.u64 %d4, %d4; ld.volatile.shared.u32 %r5, [%d4]; " +
		"@!%p4 mov.b32 %r5, 0;", "r", []sample{{9, 0, 0, 9}}},
}

// opcodeModule returns a module that loads the sources, runs a piece of code and stores its result. Lanes whose bit in
// the mask is 0 jump over the code and keep 0xcdcd as their result.
func opcodeModule(code, result string) string {
	store := map[string]string{
		"r": "cvt.u64.u32 %d6, %r5;", "h": "cvt.u64.u16 %d6, %h5;", "d": "mov.b64 %d6, %d5;", "p": "selp.b64 %d6, 1, 0, %p5;",
	}[result]
	return `.version 8.6
.target sm_90
.address_size 64
.const .align 4 .b8 bytes[4] = {5, 6, 7};
.global .align 8 .b32 words[2] = {5, 0f40490FDB};
.global .align 8 .u64 pointer = generic(words);
.func (.param .b32 out) twice(.param .b32 in)
{
	.reg .b32 %r<2>;
	ld.param.b32 %r0, [in];
	add.s32 %r1, %r0, %r0;
	st.param.b32 [out], %r1;
	ret;
}
.visible .entry test(.param .u64 in, .param .u64 out, .param .u32 mask)
{
	.reg .pred %p<8>;
	.reg .b16 %h<8>;
	.reg .b32 %r<9>;
	.reg .b64 %d<10>;
	.local .align 8 .b8 stack[16];
	.shared .align 4 .b32 slots[32];
	mov.u32 %r6, %tid.x;
	ld.param.u64 %d8, [in];
	mad.wide.u32 %d8, %r6, 32, %d8;
	ld.param.u64 %d9, [out];
	mad.wide.u32 %d9, %r6, 8, %d9;
	mov.b64 %d6, 52685;
	ld.param.u32 %r7, [mask];
	shr.u32 %r7, %r7, %r6;
	and.b32 %r7, %r7, 1;
	setp.eq.u32 %p6, %r7, 0;
	@%p6 bra end;
	ld.global.v2.b64 {%d0, %d1}, [%d8];
	ld.global.b64 %d2, [%d8+16];
	cvt.u32.u64 %r0, %d0;
	cvt.u32.u64 %r1, %d1;
	cvt.u32.u64 %r2, %d2;
	cvt.u16.u64 %h0, %d0;
	cvt.u16.u64 %h1, %d1;
	cvt.u16.u64 %h2, %d2;
` + strings.ReplaceAll(code, "; ", ";\n") + "\n\t" + store + `
end:
	st.global.b64 [%d9], %d6;
	ret;
}
`
}

func TestOpcodes(t *testing.T) {
	r := newRig(t, Device{Major: 9})
	for _, row := range opcodes {
		t.Run(row.code, func(t *testing.T) {
			text := opcodeModule(row.code, row.result)
			if dir := os.Getenv("KLEINBILD_PTX_DUMP"); dir != "" { // to check the text with another assembler
				name := strings.Map(func(c rune) rune {
					if strings.ContainsRune(" ;,%/|{}[]:!", c) {
						return '_'
					}
					return c
				}, row.code[:min(40, len(row.code))])
				os.WriteFile(filepath.Join(dir, name+".ptx"), []byte(text), 0o644)
			}
			m, err := r.LoadModule([]byte(text), cu.ModuleOptions{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			f := r.function(m, "test")
			var in []byte
			for l := range 32 {
				s := row.samples[l%len(row.samples)]
				for _, v := range []uint64{s.a, s.b, s.c, 0} {
					in = binary.LittleEndian.AppendUint64(in, v)
				}
			}
			p, q := r.alloc(len(in), in), r.alloc(32*8, nil)
			for _, mask := range []uint32{0xffffffff, 0x5a3c0171, 1 << 31} {
				r.launch(f, dim(1), dim(32), 0, new(cu.Args).Ptr(p).Ptr(q).Uint32(mask))
				got := r.read(q, 32*8)
				for l := range 32 {
					s := row.samples[l%len(row.samples)]
					want := s.want
					if mask>>l&1 == 0 {
						want = 52685
					}
					if v := binary.LittleEndian.Uint64(got[l*8:]); v != want {
						t.Fatalf("mask %#x, lane %d: %#x, want %#x for %#x, %#x, %#x", mask, l, v, want, s.a, s.b, s.c)
					}
				}
			}
		})
	}
}

// TestUnknownInstructions checks that LoadModule returns an error that names an unknown instruction or modifier.
func TestUnknownInstructions(t *testing.T) {
	r := newRig(t, Device{Major: 9})
	for _, row := range []struct{ code, want string }{
		{"frob.b32 %r5, %r0;", "unknown instruction frob"},
		{"add.wrong.s32 %r5, %r0, %r1;", "modifier .wrong"},
		{"add.s32 %r5, %r0;", "operands"},
		{"add.s32 %r5, %d0, %r1;", "64"},
		{"mma.sync.aligned.m16n8k16.row.col.f32.f64.f64.f32 %r5, %r0, %r1, %r2;", "f64"},
		{"cvt.f32.f64 %r5, %d0;", "rounding"},
		{"ld.global.v4.b64 {%d0, %d1, %d2, %d3}, [%d4];", "256 bits"},
		{"add.s32 %r5, %r0, %nosuch;", "%nosuch"},
		{"mov.b32 %r5, %nosuch;", "%nosuch"},
		{"wgmma.fence.sync.aligned;", "sm_90a"},
		{"bra nowhere;", "nowhere"},
		{"tex.2d.v4.f32.f32 %r5, %r0;", "unknown instruction tex"},
	} {
		_, err := r.LoadModule([]byte(opcodeModule(row.code, "r")), cu.ModuleOptions{Name: "test"})
		if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "line 4") {
			t.Errorf("%s: %v, want an error with %q and line 42", row.code, err, row.want)
		}
	}
}
