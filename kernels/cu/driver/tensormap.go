package driver

import "github.com/kleinbild/kleinbild/kernels/cu"

// TensorMapEncodeTiled implements Context.
func (c *driverContext) TensorMapEncodeTiled(t cu.TensorMapTiled) (m cu.TensorMap, err error) {
	if err := c.require(tma); err != nil {
		return m, err
	}
	if err := t.Check(); err != nil {
		return m, err
	}
	err = c.Do(func() error {
		var r Result
		m, r = c.library.TensorMapEncodeTiled(t)
		return c.check(CuTensorMapEncodeTiled, r)
	})
	return m, err
}
