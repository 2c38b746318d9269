package cuda

import (
	"fmt"
	"os"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// DriverVariable is the environment variable that names the package through which NVIDIA's driver is reached. If it is
// not set, that is the first of DriverNames.
const DriverVariable = "KLEINBILD_DRIVER"

// DriverNames lists the packages through which this program can reach the driver.
func DriverNames() (names []string) {
	for _, d := range drivers {
		names = append(names, d.Name())
	}
	return names
}

// Driver returns NVIDIA's driver, reached through the package that $KLEINBILD_DRIVER names. The error lists the names.
// Driver does not load the driver's library: the first call of a method does, and says if the machine has no driver.
func Driver() (cu.Driver, error) {
	name := os.Getenv(DriverVariable)
	for _, d := range drivers {
		if name == "" || name == d.Name() {
			return d, nil
		}
	}
	return nil, fmt.Errorf("$%s: found %q, want %s", DriverVariable, name, strings.Join(DriverNames(), " or "))
}
