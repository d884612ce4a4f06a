// Package console looks at the console's pages in a real Chromium: over a fabric in memory,
// where everything can be arranged, and over the real controller on the test bed.
//
//	go test ./test/console -run TestPictures -update
//
// takes the pictures of docs/pictures anew.
package console
