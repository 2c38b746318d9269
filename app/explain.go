package app

import "kleinbild/app/ui"

// notices are the window's notices, with errors in the user's words.
type notices struct{ *ui.Notices }

// fail tells an error.
func (n notices) fail(err error) { n.Warn(explain(err)) }
