package app

import (
	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// seen says whether anybody can see the canvas: the window is in front, and no gallery in the canvas's place.
func (s *session) seen() bool { return !s.focusLost && !s.gallery.open }

// compareWith compares the picture on show with one of the history.
func (s *session) compareWith(e history.Entry) {
	if s.view.shown == nil || s.view.previewing || s.onCanvas(e.ID) {
		return
	}
	s.comparison.compareWith(e)
	if !s.comparison.active() {
		s.view.enterMode(s.comparison)
	}
}

// compareBy compares the picture on show with one of the history in a given way.
func (s *session) compareBy(way compareWay, e history.Entry) {
	s.comparison.way = way
	s.compareWith(e)
}

// compareTwo compares two pictures of the history, given by their IDs: a is on the left.
func (s *session) compareTwo(a, b uint64) {
	left, ok := s.Album.Find(a)
	right, there := s.Album.Find(b)
	if !ok || !there || a == b {
		return
	}
	s.leaveGallery()
	if s.onCanvas(b) {
		s.compareWith(left)
		return
	}
	s.openThen(right, func() { s.compareWith(left) })
}

// dropToCompare takes a picture of the history as A if it was dropped on the canvas while two are compared, and says
// whether that was so.
func (s *session) dropToCompare(path string, pos fyne.Position) bool {
	if !s.comparison.active() || !ui.Within(s.view.content, pos) {
		return false
	}
	for _, e := range s.Album.Entries() {
		if e.Path == path {
			s.compareWith(e)
			return true
		}
	}
	return false
}
