module kleinbild

go 1.26.8

require github.com/edsrzf/mmap-go v1.2.0

require (
	github.com/adrg/xdg v0.5.3
	golang.org/x/sys v0.49.0
)
