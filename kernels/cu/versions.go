package cu

import (
	"fmt"
	"strings"
)

// cudaVersion writes 12080 as "12.8".
func cudaVersion(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// releases lists, for each CUDA version that brought a PTX version, the oldest Linux driver release that knows it,
// as in the CUDA toolkit's release notes and the PTX manual's table of releases.
var releases = []struct{ cuda, ptxMajor, ptxMinor, driver int }{
	{11000, 7, 0, 450}, {11010, 7, 1, 455}, {11020, 7, 2, 460}, {11030, 7, 3, 465}, {11040, 7, 4, 470},
	{11050, 7, 5, 495}, {11060, 7, 6, 510}, {11070, 7, 7, 515}, {11080, 7, 8, 520},
	{12000, 8, 0, 525}, {12010, 8, 1, 530}, {12020, 8, 2, 535}, {12030, 8, 3, 545}, {12040, 8, 4, 550},
	{12050, 8, 5, 555}, {12070, 8, 6, 565}, {12080, 8, 7, 570}, {12090, 8, 8, 575},
	{13000, 9, 0, 580},
}

// DriverRelease returns the oldest driver branch that supports a CUDA version, "?" if it is not known.
func DriverRelease(cuda int) string {
	for _, r := range releases {
		if r.cuda >= cuda {
			return fmt.Sprint(r.driver)
		}
	}
	return "?"
}

// firstLine returns a colon and the first line of a log that is not empty, or "" if there is none.
func firstLine(log string) string {
	for line := range strings.Lines(log) {
		if line = strings.TrimSpace(line); line != "" {
			return ": " + line
		}
	}
	return ""
}

// PTXNeeds returns the CUDA version of the first driver that accepts a PTX version. For a version that is not in the
// table it returns 0, which every driver satisfies, so that the driver decides.
func PTXNeeds(major, minor int) int {
	for _, r := range releases {
		if r.ptxMajor == major && r.ptxMinor == minor {
			return r.cuda
		}
	}
	return 0
}
