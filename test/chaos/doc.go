// Package chaos lets everything go wrong at once and then asks whether a rule was broken.
//
// Pods come and go by the hundred and networks change, while UFM fails, hangs, loses
// answers, is wiped and fails over to an old standby, the API server is killed and
// paused, and the controllers are killed, paused beyond their lease and doubled. What
// happens, and about when, is drawn from a seed before it starts: the same seed is the
// same plan, the timing aside.
//
//	SEED=7 DURATION=3m go test ./test/chaos -run TestChaos -count=1 -v -timeout 15m
//
// The judge believes UFM's journal and the API server's watch, and never the controller.
package chaos
