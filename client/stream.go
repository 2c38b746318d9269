package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/kleinbild/kleinbild/server/api"
)

// event is one server-sent event.
type event struct {
	name string
	data []byte
}

// events reads the events of a stream. It holds one event at a time, within the limits of its kind.
type events struct {
	in          *bufio.Reader
	mostPicture int // bytes of the data of the event picture
	mostPreview int // and of the event preview
}

var errTooLong = errors.New("an event is too long")

func newEvents(r io.Reader, mostPicture, mostPreview int) *events {
	return &events{bufio.NewReaderSize(r, 64<<10), mostPicture, mostPreview}
}

// next returns the next event. Its data are valid until the next call.
func (s *events) next() (event, error) {
	var e event
	begun := false
	for {
		most := maxEventBytes
		switch e.name {
		case api.EventPicture:
			most = s.mostPicture
		case api.EventPreview:
			most = s.mostPreview
		}
		line, err := s.line(most)
		if err != nil {
			return event{}, err
		}
		name, value, _ := strings.Cut(string(line[:min(len(line), maxNameBytes)]), ":")
		switch {
		case len(line) == 0 && begun:
			return e, nil
		case len(line) == 0, name == "": // nothing, or a comment
		case name == "event":
			e.name, begun = strings.TrimPrefix(value, " "), true
		case name == "data":
			_, data, _ := bytes.Cut(line, []byte(":")) // a line may have no colon
			e.data, begun = bytes.TrimPrefix(data, []byte(" ")), true
		}
	}
}

// line returns the next line without its end. It has most bytes at most.
func (s *events) line(most int) ([]byte, error) {
	var line []byte
	for {
		part, err := s.in.ReadSlice('\n')
		if len(line)+len(part) > most+len("data: \r\n") {
			return nil, errTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			line = line[:len(line)-1]
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if err == io.EOF {
				err = io.ErrUnexpectedEOF // a stream ends with the event picture or error
			}
			return nil, err
		}
	}
}
