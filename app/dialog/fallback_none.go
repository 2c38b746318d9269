//go:build !windows && !(gtk && cgo && linux)

package dialog

// Without the tag gtk, nothing shows a dialog if no portal answered: err says why it did not.

func (b *FileBuilder) loadFallback(err error) ([]string, error) { return nil, err }

func (b *FileBuilder) saveFallback(err error) ([]string, error) { return nil, err }

func (b *DirectoryBuilder) browseFallback(err error) ([]string, error) { return nil, err }
