package opensm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// logFile reads what is written to a log from now on. The log may be rotated meanwhile,
// by renaming or by emptying it.
type logFile struct {
	path string
	file *os.File
	half []byte // of a line that is not whole yet
}

func openLog(path string) (*logFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	l := &logFile{path: path, file: file}
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		l.close()
		return nil, fmt.Errorf("finding the end of %s: %w", path, err)
	}
	return l, nil
}

func (l *logFile) close() { _ = l.file.Close() } // it was only read

// more returns the lines that came since the last time.
func (l *logFile) more() ([]string, error) {
	// Asked before the rest is read: what comes between is the next file's.
	rotated, err := l.rotated()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(l.file)
	if err != nil {
		return nil, err
	}
	text = append(l.half, text...)
	end := bytes.LastIndexByte(text, '\n') + 1
	l.half = text[end:]
	var lines []string
	for line := range strings.Lines(string(text[:end])) {
		lines = append(lines, strings.TrimRight(line, " \r\n"))
	}
	if rotated != nil {
		l.close()
		l.file, l.half = rotated, nil
	}
	return lines, nil
}

// rotated returns the file that has taken the log's place, if one has. A log that was
// emptied is read from its beginning.
func (l *logFile) rotated() (*os.File, error) {
	own, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	at, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	if own.Size() < at {
		_, err := l.file.Seek(0, io.SeekStart)
		return nil, err
	}
	there, err := os.Stat(l.path)
	if err != nil || os.SameFile(own, there) {
		return nil, nil // between two names there may be none
	}
	next, err := os.Open(l.path)
	if err != nil {
		return nil, nil
	}
	return next, nil
}
