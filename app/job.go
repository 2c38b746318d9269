package app

import (
	"context"
	"fmt"

	"kleinbild/app/studio"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// job is what Generate was asked for: one request for each seed.
type job struct {
	id      uint64
	request inference.Request // all but the seed
	aspect  picture.AspectRatio
	seed    uint64
	count   int
	desk    studio.Desk // that it was asked for with
}

// kept is the job as it is stored.
func (j job) kept() studio.Job {
	return studio.Job{Desk: j.desk, Size: j.request.Size, Seed: j.seed, Count: j.count, Steps: j.request.Steps, Guidance: j.request.Guidance}
}

// jobOf prepares a stored job, whose file may hold anything. It reads the job's pictures.
func jobOf(ctx context.Context, store *studio.Store, k studio.Job) (j job, err error) {
	if err := k.Size.Check(); err != nil {
		return j, err
	}
	if k.Count < 1 || k.Count > maxCount {
		return j, fmt.Errorf("the number of pictures is %d, want 1 to %d", k.Count, maxCount)
	}
	if len(k.Desk.Slots) > inference.MaxReferences {
		return j, fmt.Errorf("found %d references, want at most %d", len(k.Desk.Slots), inference.MaxReferences)
	}
	if k.Desk.Prompt, err = inference.ParsePrompt(k.Desk.Prompt); err != nil {
		return j, err
	}
	for i, slot := range k.Desk.Slots {
		ref, err := store.Read(ctx, slot)
		if err != nil {
			return j, err
		}
		k.Desk.Slots[i] = studio.SlotOf(ref)
	}
	return job{request: k.Request(), aspect: k.Desk.Aspect, seed: k.Seed, count: k.Count, desk: k.Desk}, nil
}
