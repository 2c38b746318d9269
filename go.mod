module kleinbild

go 1.26.8
