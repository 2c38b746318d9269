package app

import (
	"context"
	"fmt"

	"kleinbild/app/studio"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// job is what Generate was asked for: one picture for each seed.
type job struct {
	id     uint64
	ask    inference.Checked // its seed is that of the first picture
	size   picture.Size      // that the window showed; the model that makes the pictures decides
	aspect picture.AspectRatio
	seed   uint64
	count  int
	desk   studio.Desk // that it was asked for with
}

// kept is the job as it is stored.
func (j job) kept() studio.Job {
	return studio.Job{
		Desk: j.desk, Size: j.size, Seed: j.seed, Count: j.count, Steps: j.ask.Steps(), Guidance: j.ask.Guidance(),
	}
}

// jobOf prepares a stored job, whose file may hold anything. It reads the job's pictures.
func jobOf(ctx context.Context, store *studio.Store, k studio.Job) (j job, err error) {
	if k.Count < 1 || k.Count > maxCount {
		return j, fmt.Errorf("the number of pictures is %d, want 1 to %d", k.Count, maxCount)
	}
	ask, err := k.Ask(store).Check()
	if err == nil {
		ask, err = ask.Read(ctx, 1)
	}
	if err != nil {
		return j, err
	}
	k.Desk.Prompt = ask.Prompt()
	for i, source := range ask.References() {
		ref, err := source.Open(ctx) // which is read
		if err != nil {
			return j, err
		}
		k.Desk.Slots[i] = studio.SlotOf(ref)
	}
	return job{ask: ask, size: k.Size, aspect: k.Desk.Aspect, seed: k.Seed, count: k.Count, desk: k.Desk}, nil
}
