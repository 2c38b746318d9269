package backendtest

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// TestSuiteIsComplete finds in the suite a call of every operation: of the methods whose first parameter is the
// destination.
func TestSuiteIsComplete(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	operations, matrix := 0, reflect.TypeFor[backend.Matrix]()
	for i, backend := 0, reflect.TypeFor[backend.Backend](); i < backend.NumMethod(); i++ {
		name, method := backend.Method(i).Name, backend.Method(i).Type
		if method.NumIn() == 0 || method.In(0) != matrix || method.NumOut() > 0 {
			continue
		}
		if operations++; !strings.Contains(text.String(), "."+name+"(") {
			t.Errorf("no row of the suite calls %s: want one, so that every backend has to compute it", name)
		}
	}
	if operations < 10 {
		t.Errorf("found %d operations in the interface, want all of them", operations)
	}
}
