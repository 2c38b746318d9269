// Command soak holds a real server under load: soak [-for 20m] KLEINBILD. It starts KLEINBILD serve with the demo model
// on this machine, plays clients of whom a third are rude, watches the process from outside, and prints a table. It
// exits with 1 unless every polite client was served, the memory is flat, and no goroutine or open file is left of the
// load.
//
// Flat: the median of the resident memory in the last fifth of the time is not more than a fifth and 64 MiB above the
// median in the second fifth; the first fifth is for warming up. What is left: a second server that made one picture
// and then rested is asked for its goroutines, and the first may have no more of any kind.
//
// It needs Linux, for /proc and for loopback addresses of the clients' own.
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

	"kleinbild/tools/soak/clients"
)

func main() {
	duration := flag.Duration("for", 20*time.Minute, "how long to play")
	polite := flag.Int("polite", 33, "polite clients")
	rude := flag.Int("rude", 17, "rude clients")
	keep := flag.String("keep", "",
		"a folder for the server's log and its goroutines; a temporary one by default, which is removed")
	flag.Parse()
	if flag.NArg() != 1 || runtime.GOOS != "linux" || *duration > 12*time.Hour || *polite+*rude > 500 {
		fmt.Fprintln(os.Stderr, "usage, on Linux: soak [-for TIME, 12h at most] [-polite N] "+
			"[-rude N, 500 clients at most] [-keep FOLDER] KLEINBILD")
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
	fmt.Println("all polite clients were served, the memory is flat, nothing is left")
}

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
		return nil, fmt.Errorf("the server has ended: see %s", s.logFile)
	}
	// Rude clients' requests end within the server's limits, and the system closes its side of connections.
	last := s.sample()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && last.files > files; last = s.sample() {
		time.Sleep(time.Second)
	}
	if err := s.onePicture(ctx); err != nil {
		faults = append(faults, fmt.Sprintf("after the load no picture is made: %v", err))
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
	fmt.Printf("%-34s %10s %10s %10s %10s %10s %10s\n",
		"", "start", "2nd fifth", "middle", "last fifth", "most", "at rest")
	row := func(name string, of func(sample) int) {
		fmt.Printf("%-34s %10d %10d %10d %10d %10d %10d\n",
			name, of(first), median(early, of), median(middle, of), median(late, of), most(seen, of), of(last))
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
		faults = append(faults, fmt.Sprintf("%d files are open, without load %d", last.files, files))
	}
	for _, kind := range sorted(left) {
		if left[kind] > atRest[kind] {
			faults = append(faults, fmt.Sprintf("%d goroutines at %s, without load %d", left[kind], kind, atRest[kind]))
		}
	}
	if len(report.Faults) > 0 {
		faults = append(faults, fmt.Sprintf("%d wishes of polite clients were not fulfilled", len(report.Faults)))
	}
	if report.Served == 0 {
		faults = append(faults, "no polite client was served")
	}
	return faults, nil
}

// rest is how many goroutines of each kind, and open files, a server has that rests.
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

// part is one fifth of the samples.
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
