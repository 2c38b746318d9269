package app

import (
	"context"
	"fmt"
	"strconv"

	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// restore brings back all that made a picture: prompt, seed, size, numbers and references.
func (s *session) restore(meta picture.Metadata) {
	s.prompt.setText(meta.Prompt)
	s.shape.setSeed(strconv.FormatUint(meta.Seed, 10))
	s.shape.setLocked(true)
	s.advanced.setNumbers(meta.Steps, meta.Guidance)
	s.slots.clearAll()
	if size := (picture.Size{Width: meta.Width, Height: meta.Height}); size.Check() == nil {
		s.shape.setSize(size)
	}
	for i, r := range meta.References[:min(len(meta.References), inference.MaxReferences)] {
		if r.Path == "" {
			s.notice.say(fmt.Sprintf("Image %d was pasted and lies in no file: add it again.", i+1))
			continue
		}
		s.slots.read(s.slots.free(), r.Path, func(ctx context.Context) (inference.Reference, error) {
			ref, err := inference.OpenReference(ctx, r.Path)
			if err == nil && ref.FileSHA256 != r.SHA256 {
				err = fmt.Errorf("%s has changed since this picture was made: drop the right one", r.Path)
			}
			return ref, err
		})
	}
	s.view.refresh()
	s.requestChanged()
}

// restoreJob takes a job back from the queue.
func (s *session) restoreJob(j job) {
	s.prompt.setText(j.request.Prompt)
	s.shape.setSeed(strconv.FormatUint(j.seed, 10))
	s.shape.setLocked(true)
	s.shape.setCount(j.count)
	s.advanced.setNumbers(j.request.Steps, j.request.Guidance)
	s.slots.clearAll()
	for i, r := range j.request.References {
		s.slots.put(i+1, r)
	}
	if j.aspect != "" {
		s.shape.choose(j.aspect)
	} else {
		s.shape.setSize(j.request.Size)
	}
}
