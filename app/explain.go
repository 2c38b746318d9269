package app

// notices are the window's notices, with errors in the user's words.
type notices struct{ *noticeBar }

// fail tells an error.
func (n notices) fail(err error) { n.warn(explain(err)) }
