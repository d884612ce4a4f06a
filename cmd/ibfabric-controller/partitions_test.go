package main

import (
	"io"
	"strings"
	"testing"
)

func TestAPKeyRangeThatNobodyCouldUseIsRefused(t *testing.T) {
	none := func(string) string { return "" }
	for text, says := range map[string]string{"0x10-0x20": "pkey 0x20 is outside --pkey-scope", "1000": "--pkey-range", ",": "names no pkey"} {
		if _, err := parse([]string{"--pkey-scope=0x10-0x1f", "--pkey-range=" + text}, none, io.Discard); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	s, err := parse([]string{"--pkey-scope=0x10-0x1f,0x20", "--pkey-range=0x1e-0x20", "--require-partition"}, none, io.Discard)
	if err != nil || s.Partitions.Range.String() != "0x1e-0x20" || !s.Partitions.Require {
		t.Errorf("a range over two of the scope's: %+v, %v", s, err)
	}
	if s, err := parse(nil, none, io.Discard); err != nil || len(s.Partitions.Range) != 0 {
		t.Errorf("without a range PKeys are chosen from %v, %v", s.Partitions.Range, err)
	}
}
