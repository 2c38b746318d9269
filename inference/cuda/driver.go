package cuda

import (
	"fmt"
	"os"
	"strings"

	"kleinbild/kernels/cu"
)

// DriverVariable is the environment variable that chooses, by its name, the package through which NVIDIA's driver is
// reached. Without it that is the first of DriverNames.
const DriverVariable = "KLEINBILD_DRIVER"

// DriverNames are the packages that this program can reach the driver through.
func DriverNames() (names []string) {
	for _, d := range drivers {
		names = append(names, d.Name())
	}
	return names
}

// Driver returns NVIDIA's driver as $KLEINBILD_DRIVER wants it to be reached. The error says which names there are;
// whether the machine has a driver shows when it is used.
func Driver() (cu.Driver, error) {
	name := os.Getenv(DriverVariable)
	for _, d := range drivers {
		if name == "" || name == d.Name() {
			return d, nil
		}
	}
	return nil, fmt.Errorf("$%s: found %q, want %s", DriverVariable, name, strings.Join(DriverNames(), " or "))
}
