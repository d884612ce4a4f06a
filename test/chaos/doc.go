// Package chaos lets everything go wrong at once and then asks whether a rule was broken.
//
// Pods come and go by the hundred and networks change, while UFM fails, hangs, loses
// answers, applies late, is wiped, fails over to an old standby and lets its certificate
// expire, the API server is killed and paused and its etcd slow, nodes are lost, booted and
// deleted, and the controllers are killed, paused beyond their lease and doubled, their
// clocks are set, and their lease is deleted. GUIDs are so few that they go from pod to pod.
// What happens, and about when, is drawn from a seed before it starts: the same seed is the
// same plan, the timing aside.
//
//	SEED=7 DURATION=3m make chaos         one plan; SEED=1,2,3 plays several, two at a time
//	PODS=10000 DURATION=3m make chaos     many pods at a time; else it is up to 60, 90 or 300
//	DURATION=3m make chaos                a seed by chance, which is printed
//	go test ./test/chaos -count=1         the known seeds for ten seconds, as in make test
//
// At the end the troubles stop, and everything must come to be as it should. The judge
// then compares UFM's journal with the API server's watch, and believes the controllers
// nothing. Of a violation it tells what was seen of that GUID and its pods, in order of
// time, and keeps the logs. IBFABRIC_RACE=1 builds the controllers with the race detector.
package chaos
