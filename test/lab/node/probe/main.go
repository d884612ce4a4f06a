//go:build linux

// Command probe is what the lab's pods run: it prints what it sees of RDMA as one line of
// JSON, and waits until it is told to end.
package main

import (
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/ibfabric/ibfabric/test/lab/node/seen"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	s, err := seen.Look("/")
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		log.Fatal(err)
	}
	<-ended
}
