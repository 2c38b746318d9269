// Command soak runs a real server under load:
//
//	soak [-for 20m] [-polite 33] [-rude 17] [-keep FOLDER] KLEINBILD
//
// It starts KLEINBILD serve with the demo model on this machine, plays polite and rude clients, watches the process
// from outside, and prints a table. It exits with status 1 unless every polite client was served, the memory stayed
// flat, and the load left no goroutines and no open files behind.
//
// The memory is flat if the median of the resident memory in the last fifth of the time exceeds the median in the
// second fifth by at most a fifth and 64 MiB. The first fifth is for warming up. The numbers of goroutines and files
// are compared with those of another server that made one picture and then rested: there may be no more goroutines of
// any kind, and no more open files.
//
// It needs Linux, because it reads /proc and gives each client a loopback address of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/tools/soak/clients"
)

func main() {
	duration := flag.Duration("for", 20*time.Minute, "how long the load lasts")
	polite := flag.Int("polite", 33, "number of polite clients")
	rude := flag.Int("rude", 17, "number of rude clients")
	keep := flag.String("keep", "", "a folder for the server's log and goroutines; the default is a temporary folder")
	flag.Parse()
	if flag.NArg() != 1 || runtime.GOOS != "linux" || *duration > 12*time.Hour || *polite+*rude > 500 {
		fmt.Fprintln(os.Stderr, "usage, on Linux: soak [-for TIME, at most 12h] [-polite N] [-rude N, at most 500 clients] "+
			"[-keep FOLDER] KLEINBILD")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	faults, err := soak(ctx, flag.Arg(0), *keep, *duration, *polite, *rude)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	for _, fault := range faults {
		fmt.Println("FAULT:", fault)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
	fmt.Println("all polite clients were served, the memory is flat, nothing is left behind")
}

// soak runs the whole test and prints its table. faults lists what is wrong with the server; err means that the test
// itself could not be completed.
func soak(
	ctx context.Context, program, folder string, duration time.Duration, polite, rude int,
) (faults []string, err error) {
	if folder == "" {
		if folder, err = os.MkdirTemp("", "kleinbild-soak-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
	}
	atRest, files, err := rest(ctx, program, folder)
	if err != nil {
		return nil, err
	}
	s, err := startServer(program, folder, "loaded")
	if err != nil {
		return nil, err
	}
	defer s.kill()
	if err := s.onePicture(ctx); err != nil {
		return nil, err
	}
	first := s.sample()
	fmt.Printf("%d polite and %d rude clients for %v on %s\n", polite, rude, duration, s.address)
	playing, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	samples := make(chan []sample, 1)
	go func() { samples <- s.watch(playing, max(duration/1000, 200*time.Millisecond)) }()
	load := clients.Load{
		Address: s.address, Token: token, Polite: polite, Rude: rude, Requests: 2_000_000, Pause: 300 * time.Millisecond,
		Hold: 25 * time.Second, Patience: 3 * time.Minute, Bytes: 16 << 20, Together: time.Minute,
	}
	report, err := load.Run(playing)
	if err != nil {
		return nil, err
	}
	cancel()
	seen := <-samples
	if !s.running() {
		return nil, fmt.Errorf("the server has ended, see %s", s.logFile)
	}
	// The server's time limits end the requests of rude clients, and then the system closes the connections.
	last := s.sample()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && last.files > files; last = s.sample() {
		time.Sleep(time.Second)
	}
	if err := s.onePicture(ctx); err != nil {
		faults = append(faults, fmt.Sprintf("no picture can be made after the load: %v", err))
	}
	time.Sleep(2 * time.Second)
	last = s.sample()
	left, err := s.goroutines()
	if err != nil {
		return nil, err
	}

	if _, err := report.WriteTo(os.Stdout); err != nil {
		return nil, err
	}
	early, middle, late := part(seen, 1), part(seen, 2), part(seen, 4)
	fmt.Printf("%-34s %10s %10s %10s %10s %10s %10s\n", "",
		"start", "2nd fifth", "middle", "last fifth", "maximum", "at rest")
	row := func(name string, of func(sample) int) {
		fmt.Printf("%-34s %10d %10d %10d %10d %10d %10d\n", name, of(first), median(early, of), median(middle, of),
			median(late, of), most(seen, of), of(last))
	}
	memory := func(s sample) int { return s.residentMiB }
	row("resident memory, MiB", memory)
	row("threads", func(s sample) int { return s.threads })
	row("open files", func(s sample) int { return s.files })
	fmt.Printf("%-34s %d (at rest without load: %d)\n", "goroutines left", total(left), total(atRest))

	if begun, ended := median(early, memory), median(late, memory); ended > begun+begun/5+64 {
		faults = append(faults, fmt.Sprintf("memory grew from %d to %d MiB", begun, ended))
	}
	if last.files > files {
		faults = append(faults, fmt.Sprintf("%d files are open, %d without load", last.files, files))
	}
	for _, kind := range sorted(left) {
		if left[kind] > atRest[kind] {
			faults = append(faults, fmt.Sprintf("%d goroutines created by %s, %d without load", left[kind], kind, atRest[kind]))
		}
	}
	if len(report.Faults) > 0 {
		faults = append(faults, fmt.Sprintf("%d wishes of polite clients were not served", len(report.Faults)))
	}
	if report.Served == 0 {
		faults = append(faults, "no polite client was served")
	}
	return faults, nil
}

// rest returns the number of goroutines of each kind, and of open files, of a server that made one picture and then
// rests.
func rest(ctx context.Context, program, folder string) (goroutines map[string]int, files int, err error) {
	s, err := startServer(program, folder, "resting")
	if err != nil {
		return nil, 0, err
	}
	defer s.kill()
	if err := s.onePicture(ctx); err != nil {
		return nil, 0, err
	}
	time.Sleep(2 * time.Second)
	files = s.sample().files
	goroutines, err = s.goroutines()
	return goroutines, files, err
}

// part returns one fifth of the samples; fifth is 0 to 4.
func part(all []sample, fifth int) []sample {
	return all[len(all)*fifth/5 : len(all)*(fifth+1)/5]
}

func median(all []sample, of func(sample) int) int {
	var values []int
	for _, s := range all {
		values = append(values, of(s))
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func most(all []sample, of func(sample) int) (n int) {
	for _, s := range all {
		n = max(n, of(s))
	}
	return n
}

func total(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}
