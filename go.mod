module kleinbild

go 1.26.8

require (
	github.com/nfnt/resize v0.0.0-20180221191011-83c6a9932646
	golang.org/x/image v0.47.0
)
