package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	firstReport = 2 * time.Second
	nextReport  = 10 * time.Second
)

// report says on standard error what is being waited for, when that takes over two seconds,
// until the function that it returns is called.
func report(what func() string) (stop func()) {
	began, quit := time.Now(), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		wait := firstReport
		for {
			select {
			case <-quit:
				return
			case <-time.After(wait):
				fmt.Fprintf(os.Stderr, "bench: %s, %.0f s\n", what(), time.Since(began).Seconds())
				wait = nextReport
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}
