package picture

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"testing"
)

// TestScaleAsPillowScales compares with Pillow 11.0, Image.resize with Resampling.LANCZOS. All levels must be equal.
func TestScaleAsPillowScales(t *testing.T) {
	for _, row := range []struct {
		from, to Size
		digest   string // SHA-256 of the red, green and blue levels
	}{
		{Size{1501, 1103}, Size{1194, 877}, "8575bc6c36eb06d336c41bcf7d67b8104112ddf535c5c8b1f299d0b86980bc43"},
		{Size{397, 1201}, Size{64, 193}, "adc54ac881a1546e8771cf9a3d21c84b9c94e2d9db66305642762b06888ef3cd"},
		{Size{257, 65}, Size{256, 64}, "0a678e81d03b0ae024108ecf29fe5997ab0d104add881f05e13dedbf7c6305f5"},
		{Size{640, 480}, Size{640, 64}, "621ee0b4b3b247977f2619d6b8d0883d9ad4d1e02d0650275f4e5d5d20dba788"},
	} {
		img := image.NewRGBA(image.Rect(0, 0, row.from.Width, row.from.Height))
		for i := range row.from.Width * row.from.Height {
			x, y := i%row.from.Width, i/row.from.Width
			copy(img.Pix[4*i:], []uint8{uint8((x*x*3 + y*y*5 + x*y*7) >> 4), uint8(x*7 + y*13), uint8((x ^ y) * 31), 255})
		}
		got, err := scale(t.Context(), img, row.to)
		if err != nil {
			t.Fatal(err)
		}
		var levels []byte
		for i := 0; i < len(got.Pix); i += 4 {
			levels = append(levels, got.Pix[i:i+3]...)
		}
		if sum := sha256.Sum256(levels); hex.EncodeToString(sum[:]) != row.digest {
			t.Errorf("%v to %v: levels %v…, digest %x, want %s", row.from, row.to, levels[:6], sum, row.digest)
		}
	}
}

func TestScaleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := scale(ctx, image.NewRGBA(image.Rect(0, 0, 640, 640)), Size{64, 64}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
}

// TestPanicInABandIsAnError checks that a panic in one of inBands' goroutines does not end the program.
func TestPanicInABandIsAnError(t *testing.T) {
	err := inBands(t.Context(), 100, func() func(first, count int) {
		return func(first, count int) { panic("a fault") }
	})
	if err == nil {
		t.Error("no error, want the panic's")
	}
}
