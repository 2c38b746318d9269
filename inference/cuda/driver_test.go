package cuda

import (
	"strings"
	"testing"
)

func TestDriver(t *testing.T) {
	names := DriverNames()
	if names[len(names)-1] != "purego" {
		t.Fatalf("found %v, want purego in every program", names)
	}
	for _, row := range []struct{ value, want, err string }{
		{value: "", want: names[0]},
		{value: "purego", want: "purego"},
		{value: "toolkit", err: `$KLEINBILD_DRIVER: found "toolkit", want ` + strings.Join(names, " or ")},
	} {
		t.Setenv(DriverVariable, row.value)
		d, err := Driver()
		if err != nil && err.Error() != row.err || err == nil && (row.err != "" || d.Name() != row.want) {
			t.Errorf("%q: found %v, %v, want %q or %q", row.value, d, err, row.want, row.err)
		}
	}
}
