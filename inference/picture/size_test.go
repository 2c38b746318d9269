package picture

import (
	"strings"
	"testing"
)

func TestAspectRatioSizes(t *testing.T) {
	for _, row := range []struct {
		ratio  AspectRatio
		native int
		want   Size
	}{
		{Square, 1024, Size{1024, 1024}},
		{Landscape, 1024, Size{1344, 768}},
		{Portrait, 1024, Size{768, 1344}},
		{Photo, 1024, Size{1248, 832}},
		{PhotoV, 1024, Size{832, 1248}},
		{Standard, 1024, Size{1184, 896}},
		{StandardV, 1024, Size{896, 1184}},
		{Wide, 1024, Size{1568, 672}},
		{Landscape, 0, Size{1344, 768}},
		{Landscape, 2048, Size{1344, 768}},
		{Landscape, 512, Size{672, 384}},
		{Wide, 512, Size{784, 336}},
		{Square, 128, Size{128, 128}},
		{Landscape, 128, Size{160, 96}},
		{Portrait, 128, Size{96, 160}},
		{Photo, 128, Size{144, 96}},
		{Standard, 128, Size{144, 112}},
		{Wide, 128, Size{192, 80}},
		{Wide, 64, Size{96, 64}},
		{Square, 1, Size{64, 64}},
	} {
		if got, err := row.ratio.SizeFor(row.native); err != nil || got != row.want {
			t.Errorf("%s for %d: %v, %v, want %v", row.ratio, row.native, got, err, row.want)
		}
	}
	for _, ratio := range AspectRatios()[:8] {
		for native := minOutputSide; native <= NativeSide; native++ {
			size, err := ratio.SizeFor(native)
			if err == nil {
				err = size.Check()
			}
			if err != nil {
				t.Fatalf("%s for %d: %v", ratio, native, err)
			}
		}
	}
}

func TestAspectRatioMatch(t *testing.T) {
	if got, err := Match.SizeFor(1024, Size{320, 240}, Size{64, 64}); err != nil || got != (Size{320, 240}) {
		t.Errorf("match: %v, %v, want the first reference's 320x240", got, err)
	}
	if got, err := Match.SizeFor(1024); err == nil {
		t.Errorf("match with no reference: %v, want an error", got)
	}
}

func TestParseAspectRatio(t *testing.T) {
	for _, ratio := range AspectRatios() {
		if got, err := ParseAspectRatio(string(ratio)); err != nil || got != ratio {
			t.Errorf("%s: %v, %v", ratio, got, err)
		}
	}
	for _, name := range []string{"", "sqare", "2:1", "1:3", "0:9", "-16:-9", "16:", ":9", "inf:inf", "nan:1", "1:2:3"} {
		_, err := ParseAspectRatio(name)
		if err == nil {
			t.Errorf("%q is accepted, want an error", name)
			continue
		}
		for _, ratio := range AspectRatios() {
			if !strings.Contains(err.Error(), string(ratio)) {
				t.Errorf("%q: the error %q does not list %s", name, err, ratio)
			}
		}
		if _, err := AspectRatio(name).SizeFor(1024); err == nil {
			t.Errorf("%q has a size, want an error", name)
		}
	}
}

func TestParseAspectRatioLeniently(t *testing.T) {
	for _, row := range []struct {
		text string
		want AspectRatio
	}{
		{"Square", Square}, {"landscape ", Landscape}, {"photo v", PhotoV}, {"Photo-V", PhotoV}, {"STANDARD_V", StandardV},
		{"Match", Match},
		{"16:9", Landscape}, {"9:16", Portrait}, {"1:1", Square}, {"1024:1024", Square}, {"3:2", Photo}, {"2:3", PhotoV},
		{"4:3", Standard}, {"3/4", StandardV}, {"5:4", Standard}, {"16:10", Photo}, {"21:9", Wide}, {"2.39:1", Wide},
		{" 16 : 9 ", Landscape},
	} {
		if got, err := ParseAspectRatio(row.text); err != nil || got != row.want {
			t.Errorf("%q: %v, %v, want %v", row.text, got, err, row.want)
		}
	}
}

func TestNearestSize(t *testing.T) {
	for _, row := range []struct{ size, want Size }{
		{Size{65, 64}, Size{64, 64}},
		{Size{1920, 1080}, Size{1920, 1088}},
		{Size{0, 5000}, Size{64, 2048}},
		{Size{-7, 72}, Size{64, 80}},
		{Size{1<<31 - 1, 2047}, Size{2048, 2048}},
		{Size{1344, 768}, Size{1344, 768}},
	} {
		got := row.size.Nearest()
		if got != row.want || got.Check() != nil {
			t.Errorf("%v: %v, want %v", row.size, got, row.want)
		}
		if err := row.size.Check(); err != nil && !strings.Contains(err.Error(), "nearest size is "+got.String()) {
			t.Errorf("%v: %v, want the nearest size named", row.size, err)
		}
	}
	if _, err := ParseSize("70000x64"); err == nil || !strings.Contains(err.Error(), "2048x64") {
		t.Errorf("%v, want the nearest size named", err)
	}
}

func TestParseSize(t *testing.T) {
	for _, row := range []struct {
		text string
		want Size
		ok   bool
	}{
		{"1344x768", Size{1344, 768}, true},
		{"64x2048", Size{64, 2048}, true},
		{"2048X64", Size{2048, 64}, true},
		{"48x64", Size{}, false},
		{"64x2064", Size{}, false},
		{"65x64", Size{}, false},
		{"64x72", Size{}, false},
		{"0x0", Size{}, false},
		{"-64x64", Size{}, false},
		{"+64x64", Size{}, false},
		{"64", Size{}, false},
		{"64x", Size{}, false},
		{"x64", Size{}, false},
		{"64x64x64", Size{}, false},
		{"64 x 64", Size{}, false},
		{"65600x64", Size{}, false}, // 65536 + 64
		{"", Size{}, false},
	} {
		got, err := ParseSize(row.text)
		if (err == nil) != row.ok || row.ok && got != row.want {
			t.Errorf("%q: %v, %v, want %v, accepted %v", row.text, got, err, row.want, row.ok)
		}
		if row.ok && err == nil {
			if again, err := ParseSize(got.String()); err != nil || again != got {
				t.Errorf("%q: spelled %q, read back as %v, %v", row.text, got, again, err)
			}
		}
	}
}
