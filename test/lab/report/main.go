// Command report follows `go test -json` of the lab: it shows the tests' words as they come,
// and in the end a table of what was played on which kernel, with the reasons of what was
// skipped. The same goes into a file as JSON.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("o", "", "file for the scenarios as JSON")
	page := flag.String("peers", "", "Markdown file whose table of plugins is to be brought up to date")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *out, *page); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(from io.Reader, to io.Writer, file, page string) error {
	r := newReport()
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil { // go's own words, as about what does not build
			e = event{Output: line}
		}
		r.take(e)
		if _, err := io.WriteString(to, e.Output); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(to, r.table()); err != nil {
		return err
	}
	if file != "" {
		if err := write(file, r.summary()); err != nil {
			return err
		}
	}
	if page != "" && len(r.plugins) > 0 {
		return replaceTable(page, pluginTable(r.plugins))
	}
	return nil
}

func write(file string, s summary) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	return err
}
